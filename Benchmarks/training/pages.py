"""Pages that read like print: receipts, tables, forms and screens on plain grounds, and questions about them.

Text has 8 x 16 pixels a letter, as on a receipt printer or a terminal. From page to page it is moved by up to seven pixels to
the right and four down, so letters lie across patches and cells. Every text is an `Item`: a word of a closed list, or a number
of at most five characters. Everything follows from a seed and a number; the font is the one inside Pillow.
"""
import collections
import functools
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTER, LINE = 8, 16  # pixels that a letter is wide and a line is high
SIZES = [(96, 96), (128, 96), (96, 160), (128, 128), (160, 128), (128, 224), (192, 160), (256, 192), (192, 256), (224, 320),
         (256, 384)]  # width and height; halved, they are whole cells still

GOODS = ["tea", "cola", "milk", "bread", "rice", "soup", "salad", "pizza", "fish", "cake", "apple", "lemon", "juice", "water",
         "beans", "eggs", "ham", "honey", "pasta", "nuts"]
NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jill", "Kai", "Lena", "Max", "Nora", "Omar", "Pia"]
CITIES = ["Rome", "Oslo", "Paris", "Lima", "Cairo", "Delhi", "Quito", "Tokyo", "Bern", "Porto"]
SHOPS = ["cafe", "market", "bakery", "kiosk"]
HEADERS = ["count", "price", "size", "stock", "cost", "load"]
DAYS = ["Mon", "Wed", "Fri", "Sun"]
SWITCHES = ["on", "off", "auto"]
TITLES = ["clock", "files", "mail", "maps", "music", "notes", "photos", "radio"]
BUTTONS = ["back", "cancel", "close", "open", "print", "save", "send", "stop"]
WORDS = GOODS + NAMES + CITIES + SHOPS + DAYS + SWITCHES + TITLES + BUTTONS
MARKS = list("0123456789.")
FIELDS = {"name": NAMES, "city": CITIES, "day": DAYS, "age": 2, "room": 3, "code": 4}  # a list, or how many digits
SETTINGS = {"volume": 2, "zoom": 3, "timer": 2, "speed": 2, "wifi": SWITCHES, "sound": SWITCHES}
ORDINALS = ["first", "second", "third", "fourth", "fifth"]
LABELS = ["total", "tax", "served", "signed", "shop", "title", "button"] + list(FIELDS) + list(SETTINGS) + HEADERS
EVERY_WORD = list(dict.fromkeys(WORDS + LABELS))
KINDS = ["amount", "field", "lookup", "place", "name", "heading"]
MOST = 5  # characters of a number
ROWS = 9


# Of a text: where it stands, what row and column it belongs to by name, and by number from 1 (0: none).
Item = collections.namedtuple("Item", "text line column row_key column_key row_number column_number")


def tokens(text):
    """A word is one token, a number as many as it has characters."""
    return list(text) if text[0].isdigit() else [text]


@functools.cache
def font():
    return ImageFont.load_default(11)


class Page:
    def __init__(self, size, draw):
        self.size, self.draw = size, draw
        self.columns, self.lines = size[0] // LETTER - 1, size[1] // LINE
        light = draw.randint(225, 255)
        self.ground = tuple(min(255, light + draw.randint(0, 12)) for _ in range(3))
        self.ink = tuple(draw.randint(0, 60) for _ in range(3))
        self.shift = draw.randint(0, LETTER - 1), draw.randint(0, 4)
        self.items, self.asked, self.texts, self.boxes = [], [], [], []

    def put(self, line, column, text, key=None, header=None, row=0, place=0, ink=None, end=""):
        """A text, and what a question can ask for it by. `end`: a mark behind it that nobody asks for."""
        self.items.append(Item(text, line, column, key, header, row, place))
        self.texts.append((line, column, text + end, ink or self.ink))

    def ask(self, kind, question, answer):
        self.asked.append((kind, question, answer))

    def box(self, line, column, lines, columns, fill=None, outline=None):
        """A rectangle around letters."""
        x, y = column * LETTER + self.shift[0], line * LINE
        self.boxes.append(((x, y, x + columns * LETTER - 1, y + lines * LINE - 1), fill, outline))

    def rule(self, line, column, columns):
        """A thin line at the foot of a line of text."""
        x, y = column * LETTER + self.shift[0], line * LINE + LINE - 1
        self.boxes.append(((x, y, x + columns * LETTER - 1, y), tuple((a + b) // 2 for a, b in zip(self.ground, self.ink)), None))

    def patch(self, column):
        """Which column of patches of the width of a letter holds the middle of a letter."""
        return (column * LETTER + self.shift[0] + LETTER // 2) // LETTER

    def pixels(self):
        """RGB [height, width, 3]."""
        image = Image.new("RGB", self.size, self.ground)
        pen = ImageDraw.Draw(image)
        for place, fill, outline in self.boxes:
            pen.rectangle(place, fill=fill, outline=outline)
        for line, column, text, ink in self.texts:
            for at, letter in enumerate(text, column):
                wide = font().getlength(letter)
                x = at * LETTER + self.shift[0] + round((LETTER - wide) / 2)
                pen.text((x, line * LINE - 2 + self.shift[1]), letter, fill=ink, font=font())
        return np.asarray(image)

    def spread(self, count, free):
        """`count` line numbers, ascending, in `free` lines: one below the other, or with as much between them as fits."""
        step = self.draw.choice([1, min(2, free // count)]) or 1
        first = self.draw.randint(0, free - 1 - (count - 1) * step)
        return [first + step * i for i in range(count)]


def number(draw, digits):
    return str(draw.randint(10 ** (digits - 1), 10 ** digits - 1))


def value(draw, kind):
    return draw.choice(kind) if isinstance(kind, list) else number(draw, kind)


def money(cents):
    return f"{cents // 100}.{cents % 100:02}"


# MARK: Kinds of pages

def receipt(page):
    draw = page.draw
    shop, taxed = draw.choice(SHOPS), page.lines > 6 and draw.random() < 0.5
    count = draw.randint(2, min(8, page.lines - 3 - taxed))
    goods = draw.sample(GOODS, count)
    places = page.spread(count + 3 + taxed, page.lines)
    left = draw.randint(0, min(3, page.columns - 11))
    right = draw.randint(left + 11, page.columns)
    page.put(places[0], draw.randint(left, right - len(shop)), shop, "shop")
    page.ask("heading", "what shop is it?", shop)

    def line(place, label, cents, row=0):
        text = money(cents)
        page.put(place, left, label, row=row)
        page.put(place, right - len(text), text, label)
        return text

    prices = [draw.randint(10, 199) * 5 for _ in goods]
    for row, (name, cents) in enumerate(zip(goods, prices), 1):
        page.ask("lookup", f"how much is the {name}?", line(places[row], name, cents, row))
        page.ask("place", f"what is in line {row}?", name)
    if taxed:
        page.ask("amount", "what is the tax?", line(places[-3], "tax", draw.randint(10, 199)))
    page.ask("amount", "what is the total?", line(places[-2], "total", sum(prices)))
    page.rule(places[-2] - 1, left, right - left)
    name = draw.choice(NAMES)
    page.put(places[-1], left, "served")
    page.put(places[-1], left + 7, name, "served")
    page.ask("name", "who served?", name)


def table(page):
    draw = page.draw
    most = min(4, (page.columns - 5) // 6)
    count = draw.randint(1, most)
    rows = draw.randint(2, min(8, page.lines - 1))
    wide = 5 + 6 * count
    left, places = draw.randint(0, page.columns - wide), page.spread(rows + 1, page.lines)
    headers, goods = draw.sample(HEADERS, count), draw.sample(GOODS, rows)
    flush = draw.random() < 0.5
    if draw.random() < 0.4:
        page.box(places[0], left, 1, wide, fill=tuple(c - 30 for c in page.ground))

    def at(column, text):
        return left + 6 + 6 * column + (MOST - len(text) if flush else 0)

    for column, header in enumerate(headers):
        page.put(places[0], at(column, header), header)
    ruled = draw.random() < 0.3
    for row, name in enumerate(goods, 1):
        page.put(places[row], left, name, row=row, place=1)
        page.ask("place", f"what is in row {row}, first column?", name)
        if ruled:
            page.rule(places[row], left, wide)
        for column, header in enumerate(headers):
            text = number(draw, draw.randint(1, 3))
            page.put(places[row], at(column, text), text, name, header, row, column + 2)
            page.ask("lookup", f"what is the {header} of {name}?", text)
            page.ask("place", f"what is in row {row}, {ORDINALS[column + 1]} column?", text)


def form(page):
    draw = page.draw
    fields = draw.sample(list(FIELDS), draw.randint(2, min(len(FIELDS), page.lines - 1)))
    places = page.spread(len(fields) + 1, page.lines)
    left = draw.randint(0, min(8, page.columns - 11))
    start = draw.randint(6, min(11, page.columns - left - 5))
    boxed, even = draw.random() < 0.3, draw.random() < 0.5
    for place, label in zip(places, fields):
        text = value(draw, FIELDS[label])
        page.put(place, left, label, end=":")
        column = left + (start if even else len(label) + 2)
        if boxed:
            page.box(place, column, 1, len(text), outline=tuple(c - 60 for c in page.ground))
        page.put(place, column, text, label)
        page.ask("field", f"what is the {label}?", text)
    name = draw.choice(NAMES)
    page.put(places[-1], left, "signed")
    page.put(places[-1], left + 7, name, "signed")
    page.rule(places[-1], left + 7, 5)
    page.ask("name", "who signed?", name)


def screen(page):
    draw = page.draw
    bar = tuple(draw.randint(20, 110) for _ in range(3))
    page.box(0, -1, 1, page.columns + 3, fill=bar)
    title, button = draw.choice(TITLES), draw.choice(BUTTONS)
    page.put(0, draw.randint(0, min(4, page.columns - len(title))), title, "title", ink=(250, 250, 250))
    page.ask("heading", "what is the title?", title)
    settings = draw.sample(list(SETTINGS), draw.randint(1, min(len(SETTINGS), page.lines - 4)))
    places = page.spread(len(settings), page.lines - 4)
    left = draw.randint(0, min(6, page.columns - 11))
    start = left + draw.randint(7, min(14, page.columns - left - 4))
    for place, label in zip(places, settings):
        text = value(draw, SETTINGS[label])
        page.put(place + 2, left, label)
        page.put(place + 2, start, text, label)
        page.ask("field", f"what is the {label}?", text)
    column = draw.randint(1, page.columns - len(button) - 1)
    page.box(page.lines - 1, column - 1, 1, len(button) + 2, fill=tuple(c - 45 for c in page.ground),
             outline=tuple(c - 110 for c in page.ground))
    page.put(page.lines - 1, column, button, "button")
    page.ask("heading", "what does the button say?", button)


def sheet(page):
    """Texts without an order, two letters or more apart: to learn to read, nobody asks about them."""
    draw = page.draw
    for line in range(page.lines):
        column = draw.randint(0, 3)
        while True:
            text = draw.choice(EVERY_WORD) if draw.random() < 0.5 else draw.choice(
                (money(draw.randint(50, 9999)), number(draw, draw.randint(1, 4))))
            if column + len(text) > page.columns:
                break
            page.put(line, column, text)
            column += len(text) + draw.choice((2, 2, 3, 4))


KINDS_OF_PAGES = (receipt, table, form, screen)


class Pages:
    """Pages by number: the same for the same seed."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, split, number, size=None, kinds=KINDS_OF_PAGES):
        draw = random.Random(f"{self.seed} {split} {number}")
        page = Page(size or draw.choice(SIZES), draw)
        draw.choice(kinds)(page)
        return page


def every_question():
    yield from ("what is the total?", "what is the tax?", "who served?", "who signed?", "what shop is it?", "what is the title?",
                "what does the button say?")
    yield from (f"what is the {label}?" for label in [*FIELDS, *SETTINGS])
    yield from (f"how much is the {name}?" for name in GOODS)
    yield from (f"what is in line {row}?" for row in range(1, ROWS))
    for row in range(1, ROWS):
        yield from (f"what is in row {row}, {place} column?" for place in ORDINALS)
    for header in HEADERS:
        yield from (f"what is the {header} of {name}?" for name in GOODS)
