"""What a player has learned, drawn: values and choices over CartPole's states, episodes as film strips, tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from shinso.core.figure import pixels, sheet
from shinso.core.seed import derive
from shinso.worlds.finite import Finite
from shinso.worlds.gym import World

Values = Callable[[np.ndarray], np.ndarray]
"""observations (n, *shape) -> action values (n, A)"""

PAPER, INK, CART, POLE = (255, 255, 255), (60, 60, 60), (38, 70, 112), (214, 116, 52)


def pictures(values: Values, make: Callable[[], Any], seed: int) -> dict[str, np.ndarray]:
    """The pictures that suit the world: a film strip of one greedy episode, and a map or table where states are few."""
    world = World(make(), derive(seed, "pictures"))
    seen = episode(world, values)
    if type(world.env.unwrapped if hasattr(world.env, "unwrapped") else world.env).__name__ == "CartPoleEnv":
        return {"values": phase_map(values), "episode": strip([cartpole(x) for x in seen], 6)}
    if len(world.shape) == 3:
        return {"episode": strip([enlarged(x[-1]) for x in seen], 12)}
    if isinstance(world.env, Finite):
        going = np.flatnonzero(~world.env.terminal)
        return {"values": table(values(world.env.eye[going]))}
    return {}


def episode(world: World, values: Values, longest: int = 500) -> list[np.ndarray]:
    """What is seen during one greedy episode, first observation included."""
    seen = [world.reset()]
    for _ in range(longest):
        then, _, terminated, truncated = world.step(int(values(seen[-1][None]).argmax()))
        seen.append(then)
        if terminated or truncated:
            break
    return seen


def phase_map(values: Values, count: int = 121) -> np.ndarray:
    """Over angle and angular velocity, cart at rest in the middle: the greedy choice, and the largest value."""
    angle, spin = np.linspace(-0.21, 0.21, count), np.linspace(-2.5, 2.5, count)
    grid = np.zeros((count * count, 4), np.float32)
    grid[:, 2], grid[:, 3] = np.tile(angle, count), np.repeat(spin, count)
    q = values(grid).reshape(count, count, 2)
    figure = sheet(1000, 460)
    drawn = ((q[..., 1] - q[..., 0], "Q(s, right) - Q(s, left)", "RdBu_r"), (q.max(axis=2), "max Q(s, a)", "viridis"))
    for place, (field, title, colours) in enumerate(drawn, start=1):
        axes = figure.add_subplot(1, 2, place)
        bound = float(np.abs(field).max()) or 1.0
        low, high = (-bound, bound) if place == 1 else (float(field.min()), float(field.max()))
        image = axes.imshow(field, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high,
                            extent=(float(angle[0]), float(angle[-1]), float(spin[0]), float(spin[-1])))
        if place == 1 and field.min() < 0 < field.max():
            axes.contour(angle, spin, field, levels=[0.0], colors="black", linewidths=1)
        axes.set(title=title, xlabel="pole angle [rad]", ylabel="angular velocity [rad/s]")
        figure.colorbar(image, ax=axes)
    return pixels(figure)


def table(q: np.ndarray) -> np.ndarray:
    """Action values of few states, one row a state."""
    figure = sheet(160 + 120 * q.shape[1], 120 + 44 * q.shape[0])
    axes = figure.add_subplot()
    axes.imshow(q, cmap="viridis", aspect="auto")
    middle = (q.min() + q.max()) / 2
    for (s, a), value in np.ndenumerate(q):
        axes.text(a, s, f"{value:.3f}", ha="center", va="center", color="black" if value > middle else "white")
    axes.set(title="Q(s, a)", xlabel="action", ylabel="state", xticks=range(q.shape[1]), yticks=range(q.shape[0]))
    return pixels(figure)


def cartpole(observation: np.ndarray, width: int = 240, height: int = 160) -> np.ndarray:
    """Cart, pole and track as the observation says, uint8 (height, width, 3); drawn at double size and shrunk."""
    image = Image.new("RGB", (2 * width, 2 * height), PAPER)
    pen, scale = ImageDraw.Draw(image), 2 * width / 5.2
    x, y = width + float(observation[0]) * scale, 1.5 * height
    pen.line([(0, y + 18), (2 * width, y + 18)], fill=INK, width=3)
    for end in (-2.4, 2.4):
        pen.line([(width + end * scale, y + 8), (width + end * scale, y + 28)], fill=INK, width=3)
    pen.rectangle([x - 30, y - 18, x + 30, y + 17], fill=CART)
    tip = (x + scale * np.sin(observation[2]), y - 8 - scale * np.cos(observation[2]))
    pen.line([(x, y - 8), tip], fill=POLE, width=12)
    pen.ellipse([x - 7, y - 15, x + 7, y - 1], fill=INK)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def enlarged(frame: np.ndarray, height: int = 126) -> np.ndarray:
    """A grey frame as colour, each pixel a block."""
    factor = max(1, height // len(frame))
    return np.repeat(frame.repeat(factor, 0).repeat(factor, 1)[..., None], 3, axis=2)


def strip(frames: list[np.ndarray], most: int) -> np.ndarray:
    """At most `most` frames, evenly chosen from first to last, in rows of six with a grey edge."""
    chosen = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))]
    edged = [np.pad(frame, ((2, 2), (2, 2), (0, 0)), constant_values=200) for frame in chosen]
    columns = min(6, len(edged))
    edged += [np.full_like(edged[0], 255)] * (-len(edged) % columns)
    return np.concatenate([np.concatenate(edged[k : k + columns], axis=1) for k in range(0, len(edged), columns)])
