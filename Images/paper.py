"""Pictures of text: a bar chart, a page and a receipt."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (38, 42, 50)

PAGE = """An image of 224 by 224 pixels becomes 196 patches of 16 by 16. Each patch is one token, and every layer lets \
every token look at every other. The sky takes as many tokens as the ship, although one blue patch tells nearly all \
there is to know about the next.

Two things can be done with tokens that say the same. They can be merged, so that one stands for several and \
remembers how many; or those that matter little can be dropped. Merging keeps the mean of what was said. Dropping \
keeps what was said by the few, word for word.

How many to keep is a question of the picture. A page like this one is dense: letters are small, and a token that is \
lost takes a word with it. A ship on a calm sea may do with a quarter. A method that looks at the picture before it \
decides will keep more here than there.

What is saved is easy to count and easy to get wrong. The cost of the products grows with the number of tokens, that \
of attention with its square, and the choice itself is not free."""


def font(size):
    return ImageFont.load_default(size)


def wrapped(text, face, width):
    """Lines of `text` no wider than `width` pixels."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if face.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def page(width=600, height=800):
    image = Image.new("L", (width, height), 252)
    draw = ImageDraw.Draw(image)
    draw.text((60, 52), "On saying less", font=font(38), fill=20)
    draw.text((60, 104), "A short note about tokens", font=font(17), fill=110)
    draw.line([(60, 136), (width - 60, 136)], fill=60, width=2)
    y = 156
    for number, text in enumerate(PAGE.split("\n\n")):
        if number == 2:
            for k in range(98):  # a small figure: a grid of patches, a few of them kept
                x0, y0 = 60 + (k % 28) * 17.1, y + 4 + k // 28 * 17.1
                kept = (k * 7 + k // 9) % 5 == 0
                draw.rectangle([x0, y0, x0 + 13, y0 + 13], fill=90 if kept else 225)
            y += 88
        for line in wrapped(text, font(17), width - 120):
            draw.text((60, y), line, font=font(17), fill=35)
            y += 25
        y += 14
    draw.text((width / 2, height - 40), "1", font=font(15), fill=110, anchor="mm")
    return image


def receipt(width=300, height=1080):
    image = Image.new("RGB", (width, height), (250, 249, 244))
    draw = ImageDraw.Draw(image)

    def centred(y, text, size):
        draw.text((width / 2, y), text, font=font(size), fill=INK, anchor="mt")

    def row(y, left, right, size=17):
        draw.text((24, y), left, font=font(size), fill=INK)
        draw.text((width - 24, y), right, font=font(size), fill=INK, anchor="ra")

    def rule(y):
        for x in range(24, width - 24, 9):
            draw.line([(x, y), (x + 5, y)], fill=(120, 120, 120), width=2)

    centred(30, "CORNER STORE", 28)
    centred(66, "12 Harbour Lane", 16)
    centred(88, "Open 7 to 21", 16)
    rule(122)
    row(134, "Receipt 00417", "14:32", 15)
    rule(162)
    goods = [("Bread", 2, 310), ("Milk 1 l", 3, 129), ("Apples 1 kg", 1, 349), ("Cheese", 1, 585), ("Coffee", 2, 749),
             ("Butter", 1, 265), ("Eggs, 10", 2, 319), ("Rice 1 kg", 1, 279), ("Tomatoes", 1, 415), ("Soap", 4, 95),
             ("Chocolate", 3, 189), ("Tea", 1, 345)]
    y, total = 178, 0
    for name, count, price in goods:
        row(y, name, f"{count * price / 100:.2f}")
        draw.text((40, y + 22), f"{count} x {price / 100:.2f}", font=font(13), fill=(120, 120, 125))
        total += count * price
        y += 50
    rule(y + 6)
    row(y + 22, "TOTAL", f"{total / 100:.2f}", 26)
    row(y + 62, "VAT 7 %", f"{total * 7 / 10700:.2f}", 15)
    row(y + 86, "Card", f"{total / 100:.2f}", 15)
    rule(y + 116)
    centred(y + 132, "Thank you!", 22)
    x, bars = 50, np.random.default_rng(5)
    while x < width - 54:
        w = int(bars.integers(1, 4))
        draw.rectangle([x, y + 172, x + w - 1, y + 226], fill=INK)
        x += w + int(bars.integers(1, 4))
    centred(y + 234, "4 012345 678901", 14)
    return image


def chart(width=640, height=420):
    scale = 2
    image = Image.new("RGB", (width * scale, height * scale), (255, 255, 255))
    draw = ImageDraw.Draw(image)

    def text(x, y, words, size, anchor="mm", fill=INK):
        draw.text((x * scale, y * scale), words, font=font(size * scale), fill=fill, anchor=anchor)

    text(width / 2, 34, "Ice cream sold per day", 24)
    left, right, top, bottom = 76, width - 24, 76, height - 62
    for value in range(0, 101, 20):
        y = bottom - (bottom - top) * value / 100
        draw.line([(left * scale, y * scale), (right * scale, y * scale)], fill=(222, 226, 232), width=scale)
        text(left - 10, y, str(value), 14, "rm", (90, 96, 106))
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    series = [
        ("vanilla", (242, 184, 76), [32, 28, 41, 45, 63, 92, 84]),
        ("mint", (74, 170, 140), [18, 22, 25, 24, 40, 58, 66]),
    ]
    step = (right - left) / len(days)
    for k, day in enumerate(days):
        for j, (_, colour, values) in enumerate(series):
            x = left + step * k + step * (0.16 + 0.35 * j)
            y = bottom - (bottom - top) * values[k] / 100
            draw.rectangle([x * scale, y * scale, (x + step * 0.32) * scale, bottom * scale], fill=colour)
            text(x + step * 0.16, y - 9, str(values[k]), 12)
        text(left + step * (k + 0.5), bottom + 18, day, 16)
    draw.line([(left * scale, bottom * scale), (right * scale, bottom * scale)], fill=INK, width=2 * scale)
    for j, (name, colour, _) in enumerate(series):
        x = left + 14 + j * 110
        draw.rectangle([x * scale, 84 * scale, (x + 16) * scale, 100 * scale], fill=colour)
        text(x + 24, 92, name, 15, "lm")
    text(width / 2, height - 18, "day of the week", 14, fill=(90, 96, 106))
    return image.resize((width, height), Image.LANCZOS)
