r"""Divergences along a path: two laws move apart, and each measure of their distance says something else.

    KL(p, q) = sum p log(p / q),   log(1 + chi^2) = log sum p^2 / q                    (1)
    JS(p, q) = 1/2 KL(p, m) + 1/2 KL(q, m) <= log 2,   m = (p + q) / 2                 (2)
    d_F(p, q) = sup_{f in F} E_p f - E_q f                                             (3)
    F: |f| <= 1/2 total variation; 1-Lipschitz W_1; unit ball of a kernel's space MMD; x (and x^2) moments     (4)

All of them are 0 when the laws are equal. The surprise is what happens far away: JS and total variation reach their
ceiling and no longer say how far, so that a generator that follows them learns nothing; W_1 grows with the distance
itself; MMD stops at a few widths of its kernel; KL grows with the square, and without any common support is infinite.

Lin 1991 (JS); Mueller 1997 (3); Gretton et al. 2012 (MMD); Arjovsky, Chintala, Bottou 2017 (why it matters to GANs).
"""

from dataclasses import dataclass
from math import log
from typing import Any, Literal, final

import numpy as np

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.maths.f_divergence import CHI_SQUARE, f_divergence
from shinso.maths.gaussian import Gaussian
from shinso.maths.ipm import ipm, moment_functions
from shinso.maths.js import js
from shinso.maths.kl import kl
from shinso.maths.mmd import gaussian_kernel, mmd_of_laws
from shinso.maths.wasserstein import on_the_line

BACKGROUND = 1e-6
"""share of the blocks' mass that is spread everywhere, so that KL stays finite"""


@final
class Apart:
    """p stays, q moves: one step is one more place of q; each step stands by itself."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.distance = setup, setup.steps, 0.0
        self.x = np.linspace(-setup.reach - 8, setup.reach + 8, setup.points)
        self.grams = {name: gaussian_kernel(width)(self.x[:, None], self.x[:, None])
                      for name, width in (("narrow", setup.narrow), ("wide", setup.wide))}

    def step(self, i: int) -> Record:
        self.distance = self.setup.reach * (i + 1) / self.total
        rng = np.random.default_rng(derive(self.setup.seed, f"samples/{i}"))
        p, q = self.pair(self.distance)
        x, y = (rng.choice(self.x, self.setup.samples, p=law) for law in (p, q))
        return {"distance": self.distance, **self.measures(p, q), "wasserstein_sampled": on_the_line(x, y)}

    def measures(self, p: np.ndarray, q: np.ndarray) -> dict[str, float]:
        """(1) to (4) of two laws on the grid."""
        return {"kl": kl(p, q), "kl_reverse": kl(q, p),
                "log_chi_square": float(np.log1p(f_divergence(p, q, CHI_SQUARE))),
                "js": js(p, q), "js_bound": log(2), "total_variation": 0.5 * float(np.abs(p - q).sum()),
                "wasserstein": on_the_line(self.x, self.x, p, q),
                **{f"mmd_{name}": mmd_of_laws(p, q, gram) for name, gram in self.grams.items()},
                "ipm_mean": ipm(p, q, moment_functions(self.x, 1)),
                "ipm_moments": ipm(p, q, moment_functions(self.x, 2))}

    def pair(self, distance: float, background: float = BACKGROUND) -> tuple[np.ndarray, np.ndarray]:
        """The laws on the grid, q `distance` to the right of p; only blocks have a background."""
        if self.setup.laws == "blocks":
            p, q = _block(self.x, -0.5, background), _block(self.x, distance - 0.5, background)
        else:
            p, q = Gaussian(0, 1).density(self.x), Gaussian(distance, 1).density(self.x)
        return p / p.sum(), q / q.sum()

    def state(self) -> dict[str, Any]:
        return {"distance": self.distance}

    def restore(self, state: dict[str, Any]) -> None:
        self.distance = float(state["distance"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The measures along the way so far, and the two laws with what the kernels see of them."""
        return {"measures": _curves(self), "laws": _laws(self)}


def _block(x: np.ndarray, start: float, background: float) -> np.ndarray:
    """Length 1 from `start`: how much of each cell of the grid it covers, over the background."""
    half = (x[1] - x[0]) / 2
    covered = (np.minimum(x + half, start + 1) - np.maximum(x - half, start)).clip(0, None)
    return (1 - background) * covered / covered.sum() + background / len(x)


def _curves(program: Apart) -> np.ndarray:
    """The way is measured again on 40 places: it is cheap, and a history in the state would grow with every step."""
    places = np.linspace(0, max(program.distance, program.setup.reach / program.total), 41)
    rows = [program.measures(*program.pair(d)) for d in places]
    figure = sheet(900, 400)
    left, right = figure.subplots(1, 2)
    unit = {"js": log(2), "total_variation": 1.0, "mmd_narrow": 1.0, "mmd_wide": 1.0}
    names = {"js": "JS / log 2", "total_variation": "TV", "mmd_narrow": f"MMD, width {program.setup.narrow:g}",
             "mmd_wide": f"MMD, width {program.setup.wide:g}"}
    for (name, one), colour in zip(unit.items(), (RED, ORANGE, GREEN, BLUE), strict=True):
        left.plot(places, [row[name] / one for row in rows], color=colour, label=names[name])
    names = {"kl": "KL", "kl_reverse": "KL, reversed", "log_chi_square": "log(1 + chi2)", "wasserstein": "W1"}
    for (name, label), colour in zip(names.items(), (RED, ORANGE, GREY, BLUE), strict=True):
        right.plot(places, [row[name] for row in rows], color=colour, label=label,
                   linestyle="--" if name == "kl_reverse" else "-")
    quiet(left, "bounded", "distance").legend(frameon=False)
    quiet(right, "unbounded", "distance").legend(frameon=False)
    return pixels(figure)


def _laws(program: Apart) -> np.ndarray:
    p, q = program.pair(program.distance)
    per_length = 1 / (program.x[1] - program.x[0])
    figure = sheet(900, 400)
    above, below = figure.subplots(2, 1, sharex=True)
    above.fill_between(program.x, per_length * (p + q) / 2, color="#e5e7eb", label="m")
    above.plot(program.x, per_length * p, color=BLUE, label="p")
    above.plot(program.x, per_length * q, color=RED, label="q")
    for (name, gram), colour in zip(program.grams.items(), (GREEN, ORANGE), strict=True):
        seen = gram @ (p - q)
        width = getattr(program.setup, name)
        below.plot(program.x, seen / max(np.abs(seen).max(), 1e-300), color=colour, label=f"MMD, width {width:g}")
    below.set(xlim=(-5, program.setup.reach + 5))
    quiet(above, f"the laws, {program.distance:.2f} apart").legend(frameon=False, loc="upper right")
    quiet(below, "the function that tells them apart", "x").legend(frameon=False, loc="upper right")
    return pixels(figure)


def _at(*distances: float, laws: Literal["gaussians", "blocks"] = "gaussians") -> list[dict[str, float]]:
    program = Apart(Setup(laws=laws))
    return [program.measures(*program.pair(d)) for d in distances]


def js_stands_still_while_w1_grows() -> Check:
    """From distance 6 to 8 JS grows by less than 1 percent of log 2, and W1 by 2, to 1e-9: the growth of JS / log 2.

    Source: Arjovsky, Chintala, Bottou 2017
    """
    near, far = _at(6, 8)
    grown = far["wasserstein"] - near["wasserstein"]
    return Check((far["js"] - near["js"]) / log(2) if abs(grown - 2) < 1e-9 else np.inf, 0.0, 0.01)


def what_the_gaussians_are_known_to_be() -> Check:
    """KL in both directions is d^2 / 2, log(1 + chi^2) is d^2, W1 is d, at 5 distances: the largest error.

    Source: Gaussian integrals with deviation 1
    """
    worst = 0.0
    for d, row in zip((0.5, 1, 2, 4, 8), _at(0.5, 1, 2, 4, 8), strict=True):
        worst = max(worst, abs(row["kl"] - d * d / 2), abs(row["kl_reverse"] - d * d / 2),
                    abs(row["log_chi_square"] - d * d), abs(row["wasserstein"] - d))
    return at_most(worst, 1e-9)


def far_away_js_has_no_slope() -> Check:
    """At distance 8 the slope of JS is below 1e-3 of W1's: what a generator could follow.

    Source: Arjovsky and Bottou 2017, theorem 2.4
    """
    before, after = _at(7.99, 8.01)
    return at_most((after["js"] - before["js"]) / (after["wasserstein"] - before["wasserstein"]), 1e-3)


def a_narrow_kernel_stops_early() -> Check:
    """From distance 5 to 8 MMD of width 0.2 grows by less than 1 percent, of width 5 by more than 30: the difference.

    Source: Gretton et al. 2012; MMD^2 = 2 w / sqrt(w^2 + 2) (1 - exp(-d^2 / (2 w^2 + 4)))
    """
    near, far = _at(5, 8)
    narrow, wide = (far[f"mmd_{name}"] / near[f"mmd_{name}"] - 1 for name in ("narrow", "wide"))
    return at_least(wide - narrow if narrow < 0.01 else -np.inf, 0.3)


def disjoint_blocks_are_log_two_apart() -> Check:
    """Blocks of length 1 without background, 1.5 to 8 apart: JS is log 2 to 1e-12 while W1 is the distance to 0.1.

    Source: Arjovsky, Chintala, Bottou 2017, example 1; Lin 1991
    """
    program, worst = Apart(Setup(laws="blocks")), 0.0
    for d in (1.5, 2.0, 4.0, 8.0):
        p, q = program.pair(d, background=0.0)
        far = on_the_line(program.x, program.x, p, q)
        worst = max(worst, abs(js(p, q) - log(2)) if abs(far - d) < 0.1 else np.inf)
    return at_most(worst, 1e-12)


def the_mean_sees_only_the_mean() -> Check:
    """F = {x, -x} gives the absolute difference of means at 20 distances, to 1e-12, and 0 for a symmetric spread.

    Source: Mueller 1997; equation (3)
    """
    program, worst = Apart(Setup()), 0.0
    for d in np.linspace(0, 8, 20):
        p, q = program.pair(d)
        worst = max(worst, abs(ipm(p, q, [program.x]) - abs(float(p @ program.x - q @ program.x))))
    wider = Gaussian(0, 2).density(program.x)
    p, _ = program.pair(0)
    return at_most(max(worst, ipm(p, wider / wider.sum(), [program.x])), 1e-12)


def more_functions_see_more() -> Check:
    """With x^2 beside x the value never falls, and a spread from deviation 1 to 2 becomes visible: 3, to 1e-9.

    Source: Mueller 1997; E x^2 = 4 and 1
    """
    program = Apart(Setup())
    grown = min(row["ipm_moments"] - row["ipm_mean"] for row in _at(*np.linspace(0, 8, 20)))
    (p, _), wider = program.pair(0), Gaussian(0, 2).density(program.x)
    seen = ipm(p, wider / wider.sum(), moment_functions(program.x, 2))
    return at_most(abs(seen - 3) if grown > -1e-12 else np.inf, 1e-9)


def without_minus_f_it_turns_negative() -> Check:
    """With x alone and q to the right of p the sup is minus the distance: at 8 apart -8, to 1e-9.

    Source: (3) needs -f with every f
    """
    program = Apart(Setup())
    return Check(ipm(*program.pair(8.0), [program.x], symmetric=False), -8 - 1e-9, -8 + 1e-9)


CARD = Card(
    name="Divergences along a path",
    name_ja="離れていく二つの分布とダイバージェンス",
    paper="Lin 1991; Mueller 1997; Gretton et al. 2012; Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875",
    equations=(r"\mathrm{KL}(p, q) = \sum p \log\frac{p}{q},\quad 1 + \chi^2 = \sum \frac{p^2}{q}",
               r"\mathrm{JS}(p, q) = \frac{1}{2}\mathrm{KL}(p, m) + \frac{1}{2}\mathrm{KL}(q, m) \leq \log 2",
               r"d_F(p, q) = \sup_{f \in F}\,(E_p f - E_q f)",
               r"\mathrm{TV} = \sup_{|f| \leq 1/2},\quad W_1 = \sup_{|f(x) - f(y)| \leq |x - y|},\quad"
               r" \mathrm{MMD} = \sup_{\|f\|_H \leq 1}"),
    summary="Two laws move apart: JS and total variation reach a ceiling, W1 keeps growing, MMD depends on its width.",
    summary_ja="二つの分布を離していく。JSと全変動は頭打ちになり、W1は伸び続け、MMDはカーネルの幅による。",
    topics=("maths.ipm",),
    facts=(js_stands_still_while_w1_grows, what_the_gaussians_are_known_to_be, far_away_js_has_no_slope,
           a_narrow_kernel_stops_early, disjoint_blocks_are_log_two_apart, the_mean_sees_only_the_mean,
           more_functions_see_more, without_minus_f_it_turns_negative),
    notes=("The sup over F is non-negative only when F holds -f with every f, which is not said.",),
    notes_ja=("F の上限が負にならないのは、各 f とともに -f も F に入る場合だけだが、書かれていない。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which laws, how far, and through which kernels they are seen."""

    laws: Literal["gaussians", "blocks"] = "gaussians"
    """gaussians of deviation 1, or blocks of length 1 that soon have nothing in common"""
    reach: float = 8.0
    """distance at the end"""
    steps: int = 120
    """places of the moving law"""
    points: int = 801
    """outcomes on the grid"""
    narrow: float = 0.2
    """width of the first kernel"""
    wide: float = 5.0
    """width of the second kernel"""
    samples: int = 200
    """draws from each law for the sampled distance"""
    seed: int = 0
    """of these draws"""


VARIANTS = {
    "smoke": Setup(steps=60, points=301),
    "default": Setup(),
    "blocks": Setup(laws="blocks"),
}


def build(setup: Setup, place: Place = Place()) -> Apart:  # noqa: B008 - a frozen value
    """Both laws in one place; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("reach", "steps", "points", "narrow", "wide", "samples"))
    if setup.reach > 12 or not 100 <= setup.points <= 3000:
        raise UserError("reach, points", f"a reach of {setup.reach:g} on {setup.points} points is not resolved",
                        "give a reach of at most 12 and 100 to 3000 points")
    return Apart(setup)
