"""Images drawn from a seed: gradients with shapes on them, JPEG and PNG, 64 to 160 pixels a side; every 200th is cut in two."""
import random
from io import BytesIO

from PIL import Image, ImageDraw


def draw(seed):
    """The bytes of an image file, and its ending."""
    chance = random.Random(seed)
    side = lambda: chance.randrange(64, 161)
    colour = lambda: tuple(chance.randrange(256) for _ in range(3))
    image = Image.linear_gradient("L").rotate(chance.randrange(360)).resize((side(), side())).convert("RGB")
    image = Image.blend(image, Image.new("RGB", image.size, colour()), 0.5)
    pen = ImageDraw.Draw(image)
    for _ in range(chance.randrange(3, 12)):
        x, y, size = chance.randrange(image.width), chance.randrange(image.height), chance.randrange(4, 60)
        shape = chance.choice((pen.ellipse, pen.rectangle))
        shape((x, y, x + size, y + size), fill=colour())
    ending = chance.choice(("jpg", "jpg", "jpg", "png"))
    file = BytesIO()
    image.save(file, {"jpg": "JPEG", "png": "PNG"}[ending], **({"quality": chance.randrange(70, 96)} if ending == "jpg" else {}))
    content = file.getvalue()
    return (content[: len(content) // 2] if seed % 200 == 199 else content), ending


def make(folder, count):
    """Writes `count` of them, 100 a folder, and gives their paths, sorted as the command sorts them."""
    paths = []
    for seed in range(count):
        content, ending = draw(seed)
        path = folder / f"{seed // 100:04}" / f"{seed:06}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return sorted(paths)
