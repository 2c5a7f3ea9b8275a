"""A canvas for flat drawings: smooth outlines, vertical gradients, soft shadows."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SS = 4  # drawn this many times larger, then scaled down


def spline(points, closed=True, steps=14):
    """Catmull-Rom curve through `points`."""
    p = np.asarray(points, float)
    p = np.vstack([p[-1:], p, p[:2]]) if closed else np.vstack([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:])
    ]
    return np.vstack(parts + ([] if closed else [p[-1:]]))


def ramp(width, height, top, bottom):
    """Vertical gradient between two colours."""
    t = np.linspace(0, 1, height)[:, None, None]
    rows = (1 - t) * np.array(top, float) + t * np.array(bottom, float)
    return Image.fromarray(np.broadcast_to(rows.round(), (height, width, 3)).astype(np.uint8))


class Sheet:
    """A canvas in final pixels. Every shape is filled with a gradient from `top` to `bottom` over its own height."""

    def __init__(self, width, height, top, bottom=None):
        self.size = (width, height)
        self.image = ramp(width * SS, height * SS, top, bottom or top)
        self.alpha = Image.new("L", self.image.size)  # what has been drawn on the background

    def _fill(self, mask, top, bottom=None, blur=0.0, strength=1.0):
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * SS))
        if strength < 1:
            mask = mask.point(lambda v: int(v * strength))
        box = mask.getbbox()
        if box:
            paint = ramp(box[2] - box[0], box[3] - box[1], top, bottom or top)
            self.image.paste(paint, box[:2], mask.crop(box))
            self.alpha = ImageChops.lighter(self.alpha, mask)

    def _mask(self):
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)

    def poly(self, points, top, bottom=None, **how):
        mask, draw = self._mask()
        draw.polygon([(x * SS, y * SS) for x, y in points], fill=255)
        self._fill(mask, top, bottom, **how)

    def blob(self, points, top, bottom=None, **how):
        self.poly(spline(points), top, bottom, **how)

    def oval(self, x, y, rx, ry, top, bottom=None, **how):
        mask, draw = self._mask()
        draw.ellipse([(x - rx) * SS, (y - ry) * SS, (x + rx) * SS, (y + ry) * SS], fill=255)
        self._fill(mask, top, bottom, **how)

    def box(self, x0, y0, x1, y1, top, bottom=None, radius=0.0, **how):
        mask, draw = self._mask()
        draw.rounded_rectangle([x0 * SS, y0 * SS, x1 * SS, y1 * SS], radius * SS, fill=255)
        self._fill(mask, top, bottom, **how)

    def stroke(self, points, width, colour, **how):
        """A smooth line with round ends; `width` may be a pair, from start to end."""
        mask, draw = self._mask()
        curve = spline(points, closed=False, steps=16)
        a, b = width if isinstance(width, tuple) else (width, width)
        last = None
        for (x, y), r in zip(curve * SS, np.linspace(a, b, len(curve)) * SS / 2):
            draw.line([last or (x, y), (x, y)], fill=255, width=round(2 * r))
            draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
            last = (x, y)
        self._fill(mask, colour, **how)

    def both(self, middle, method, points, *args, **how):
        """A shape and its mirror image about the vertical `x = middle`."""
        for side in (points, [(2 * middle - x, y) for x, y in points]):
            getattr(self, method)(side, *args, **how)

    def done(self):
        return self.image.resize(self.size, Image.LANCZOS)
