"""Two rendered scenes: a ray tracer for spheres and a ray marcher for solids, both in numpy."""

import numpy as np
from PIL import Image


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def rays(width, height, eye, target, zoom):
    """Unit directions `[height, width, 3]` through the pixels of a camera that looks from `eye` to `target`."""
    forward = unit(np.array(target, float) - eye)
    right = unit(np.cross(forward, [0, 1, 0]))
    up = np.cross(right, forward)
    y, x = np.mgrid[0:height, 0:width]
    u, v = (x + 0.5 - width / 2) / height / zoom, (height / 2 - y - 0.5) / height / zoom
    return unit(forward + u[..., None] * right + v[..., None] * up)


def reflected(d, n):
    return d - 2 * (d * n).sum(-1, keepdims=True) * n


SUN = unit(np.array([-0.55, 0.75, -0.35]))
BALLS = [  # centre, radius, colour, mirror
    ((-0.1, 1.0, 0.3), 1.0, (0.80, 0.07, 0.06), 0.12),
    ((1.75, 0.62, -0.35), 0.62, (0.05, 0.22, 0.72), 0.15),
    ((-1.65, 0.55, -0.55), 0.55, (0.92, 0.60, 0.04), 0.10),
    ((0.85, 0.3, -1.35), 0.3, (0.06, 0.48, 0.18), 0.12),
    ((2.6, 1.1, 2.6), 1.1, (0.88, 0.88, 0.90), 0.55),
]


def hit_balls(origin, d):
    """Distance to the nearest ball along each ray (inf for none) and its index."""
    best, which = np.full(d.shape[:-1], np.inf), np.full(d.shape[:-1], -1)
    for index, (centre, radius, _, _) in enumerate(BALLS):
        to = origin - np.array(centre)
        b = (to * d).sum(-1)
        root = b * b - (to * to).sum(-1) + radius**2
        t = -b - np.sqrt(np.maximum(root, 0))
        near = (root > 0) & (t > 1e-4) & (t < best)
        best, which = np.where(near, t, best), np.where(near, index, which)
    return best, which


def shade(origin, d, depth):
    sky = np.clip(0.25 + 0.9 * d[..., 1:2], 0, 1) ** 0.7
    colour = (1 - sky) * np.array([0.86, 0.92, 0.97]) + sky * np.array([0.22, 0.46, 0.80])
    t, which = hit_balls(origin, d)
    floor = -origin[..., 1] / np.where(d[..., 1] < -1e-6, d[..., 1], -1e-6)
    on_floor = (d[..., 1] < -1e-6) & (floor < t)
    distance = np.where(on_floor, floor, t)
    point = origin + np.where(np.isfinite(distance), distance, 0)[..., None] * d
    normal, paint, mirror = np.zeros_like(d), np.zeros_like(d), np.zeros(d.shape[:-1])
    for index, (centre, radius, ball, shine) in enumerate(BALLS):
        here = which == index
        normal[here] = (point[here] - np.array(centre)) / radius
        paint[here], mirror[here] = ball, shine
    tiles = ((np.floor(point[..., 0]) + np.floor(point[..., 2])) % 2)[..., None]
    normal[on_floor] = (0, 1, 0)
    paint = np.where(on_floor[..., None], 0.62 + 0.22 * tiles, paint)
    mirror[on_floor] = 0.06
    start = point + 1e-3 * normal
    # The sun is a small disc: several shadow rays make the edges soft.
    light = np.zeros(d.shape[:-1])
    for dx, dz in ((0, 0), (0.05, 0.02), (-0.05, 0.03), (0.02, -0.05), (-0.03, -0.04)):
        blocked, _ = hit_balls(start, np.broadcast_to(unit(SUN + [dx, 0, dz]), d.shape))
        light += np.isinf(blocked) / 5
    facing = np.clip((normal * SUN).sum(-1), 0, 1) * light
    ambient = 0.30 + 0.14 * normal[..., 1]
    lit = paint * (ambient + 0.78 * facing)[..., None]
    glint = np.clip((reflected(d, normal) * SUN).sum(-1), 0, 1) ** 60 * light * ~on_floor
    lit += 0.7 * glint[..., None]
    if depth:
        lit = (1 - mirror[..., None]) * lit + mirror[..., None] * shade(start, reflected(d, normal), depth - 1)
    fog = np.exp(-((np.where(np.isfinite(distance), distance, 0) / 24) ** 2))[..., None]
    seen = (on_floor | (which >= 0))[..., None]
    return np.where(seen, fog * lit + (1 - fog) * colour, colour)


def picture(linear):
    return Image.fromarray((np.clip(linear, 0, 1) ** (1 / 1.25) * 255).round().astype(np.uint8))


def spheres(width=640, height=440):
    eye = np.array([0.4, 1.9, -5.6])
    d = rays(width * 2, height * 2, eye, (0.35, 0.72, 0), 1.1)
    return picture(shade(np.broadcast_to(eye, d.shape), d, 2)).resize((width, height), Image.LANCZOS)


def solids(p):
    """Distance from each point to a torus, a box, a cylinder and a ball on the floor."""
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    torus = np.hypot(np.hypot(x + 1.25, z - 0.2) - 0.72, y - 0.3) - 0.3
    c, s = np.cos(0.6), np.sin(0.6)
    bx, bz = c * (x - 1.05) + s * (z - 0.5), -s * (x - 1.05) + c * (z - 0.5)
    q = np.abs(np.stack([bx, y - 0.66, bz], -1)) - 0.6
    box = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0) - 0.06
    side, lid = np.hypot(x + 0.15, z - 1.9) - 0.5, np.abs(y - 0.95) - 0.9
    cylinder = np.minimum(np.maximum(side, lid), 0) + np.hypot(np.maximum(side, 0), np.maximum(lid, 0)) - 0.05
    ball = np.sqrt((x - 0.05) ** 2 + (y - 0.36) ** 2 + (z + 0.7) ** 2) - 0.36
    return np.minimum(np.minimum(torus, box), np.minimum(cylinder, ball))


def grey_solids(width=480, height=360):
    eye = np.array([0.5, 2.6, -5.4])
    d = rays(width * 2, height * 2, eye, (0, 0.62, 0.3), 1.25).reshape(-1, 3)
    t = np.zeros(len(d))
    for _ in range(90):
        p = eye + t[:, None] * d
        t = np.minimum(t + np.minimum(solids(p), np.maximum(p[:, 1], 0)), 30)
    p = eye + t[:, None] * d
    is_solid = solids(p) < 0.01
    e = 1e-3
    steps = [solids(p + e * axis) - solids(p - e * axis) for axis in np.eye(3)]
    normal = np.where(is_solid[:, None], unit(np.stack(steps, -1) + 1e-12), [0, 1, 0])
    # Soft shadow: how near the ray to the light passes by a solid.
    light, s = np.ones(len(d)), np.full(len(d), 0.03)
    for _ in range(40):
        near = solids(p + 0.01 * normal + s[:, None] * SUN)
        light = np.minimum(light, np.clip(10 * near / s, 0, 1))
        s += np.clip(near, 0.03, 0.3)
    near = sum(np.clip(solids(p + h * normal) / h, 0, 1) for h in (0.1, 0.25, 0.5)) / 3
    facing = np.clip((normal * SUN).sum(-1), 0, 1) * light
    grey = (0.22 + 0.16 * normal[:, 1]) * near + 0.62 * facing
    grey += np.where(is_solid, 0.3 * np.clip((reflected(d, normal) * SUN).sum(-1), 0, 1) ** 40 * light, 0)
    backdrop = 0.50 + 0.32 * np.clip(d[:, 1] + 0.45, 0, 1)
    fog = np.where(is_solid, 0, np.clip((t - 6) / 10, 0, 1))
    image = ((1 - fog) * grey + fog * backdrop).reshape(height * 2, width * 2)
    return picture(image).resize((width, height), Image.LANCZOS)
