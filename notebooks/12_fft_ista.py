# %% [markdown]
# # 12. Complex ISTA with the FFT / FFTを使う複素ISTA
#
# 128個の8-PSK記号をまとめて逆FFTし (OFDM)、雑音のある通信路に通します。受信側では、FFTで戻して推定する一歩と、
# 「記号は8点のどれかである」という知識による縮小とを繰り返します。歩幅と縮小の強さを学習させます。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from shinso.maths.awgn import awgn
from shinso.maths.complex_pairs import fft, pair

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
N, ROUNDS = 128, 10
VARIANCE = 10 ** (-15 / 10)  # 15 dB: 記号のエネルギー1に対する、複素雑音の分散 (実部と虚部に半分ずつ)

# %% [markdown]
# ## Exercise 1: eight points / 演習1 8つの点
#
# 8-PSKの点の表を作り、平均エネルギーを求めてください。講義のコードの表は $1/\sqrt2$ を 0.70107 としていました。
# 正しい値は何ですか。間違えると平均エネルギーはいくつになりますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1
PSK = np.exp(2j * np.pi * np.arange(8) / 8)
energy = np.square(np.abs(PSK)).mean()
slip = np.where(np.arange(8) % 2 == 1, PSK * 0.70107 * 2**0.5, PSK)  # 斜めの4点だけが内側に入る
print(f"1/sqrt(2) = {0.5**0.5:.5f}, mean energy {energy:.4f}, with 0.70107: {np.square(np.abs(slip)).mean():.4f}")
assert abs(energy - 1) < 1e-12
assert abs(np.square(np.abs(slip)).mean() - 0.9915) < 5e-5
assert abs(0.5**0.5 - 0.70711) < 5e-6

# %% [markdown]
# ## Exercise 2: a unitary transform / 演習2 ユニタリ変換
#
# `norm="ortho"` のFFTは、ベクトルの長さを変えず、逆変換がエルミート転置と一致します。確かめてください。
# 複素数を知らないライブラリのための `shinso.maths.complex_pairs.fft` (実数の組) とも比べます。
#
# 送信側が $s = F^{-1}x$ を送り、$y = s + w$ が届くとき、$Fy$ の誤差の大きさはどうなりますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2
rng = np.random.default_rng(0)


def transmit(count):
    """送った記号 (count, N) と、届いた信号 (count, N)。"""
    x = PSK[rng.integers(8, size=(count, N))]
    y = awgn(np.fft.ifft(x, norm="ortho"), VARIANCE**0.5, rng)
    return torch.tensor(x, dtype=torch.complex64), torch.tensor(y, dtype=torch.complex64)


def forward(z):
    return torch.fft.fft(z, norm="ortho")


def backward(z):
    return torch.fft.ifft(z, norm="ortho")


x, y = transmit(500)
assert torch.allclose(forward(y).norm(dim=1), y.norm(dim=1), rtol=1e-5)
assert torch.allclose(backward(forward(y)), y, atol=1e-5)
re, im = fft(pair(y[0].real.double().numpy(), y[0].imag.double().numpy()))
assert np.allclose((re + 1j * im) / N**0.5, forward(y[0]).numpy(), atol=1e-5)


def error(estimate):
    return float((estimate - x).abs().square().mean())


plain = error(forward(y))
print(f"plain FFT: mean squared error {plain:.5f}, noise {VARIANCE:.5f}")
assert abs(plain / VARIANCE - 1) < 4 / x.numel() ** 0.5  # 雑音はそのまま: 直交変換は分散を変えない

# %% [markdown]
# ## Exercise 3: shrinking towards points / 演習3 点へ縮める
#
# 疎な信号の軟しきい値の代わりに、8点への「やわらかい射影」を使います。
#
# $$\eta(r; v) = \frac{\sum_k c_k\,e^{-|r - c_k|^2/v}}{\sum_k e^{-|r - c_k|^2/v}}$$
#
# $v \to 0$ では最も近い点、$v \to \infty$ では8点の平均0に近づくことを確かめてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3
POINTS = torch.tensor(PSK, dtype=torch.complex64)


def shrink(r, v):
    far = (r[..., None] - POINTS).abs().square()
    share = torch.softmax(-far / v, dim=-1)
    return torch.complex(share @ POINTS.real, share @ POINTS.imag)


r = forward(y)[:4]
nearest = POINTS[(r[..., None] - POINTS).abs().argmin(-1)]
clear = ((r[..., None] - POINTS).abs().square().topk(2, largest=False).values.diff()[..., 0]) > 1e-3  # 境界の上を除く
assert (shrink(r, 1e-5) - nearest).abs()[clear].max() < 1e-6
assert shrink(r, 1e5).abs().max() < 1e-3
for v in (1.0, 0.1, 0.03):
    z = shrink(r, v).flatten()
    plt.scatter(z.real, z.imag, s=6, label=f"v = {v}")
plt.scatter(PSK.real, PSK.imag, marker="+", color="black")
plt.gca().set_aspect("equal")
plt.legend()
plt.show()

# %% [markdown]
# ## Exercise 4: learn ten steps / 演習4 10回分を学習する
#
# $r_t = x_t + \beta_t F(y - F^{-1}x_t)$、$x_{t+1} = \eta(r_t; v_t)$ を $x_0 = 0$ から10回繰り返します。$\beta_t$ と $v_t$ を学習し、
# FFTだけの誤差と比べてください。学習前の値は $\beta = 0.5$、$v = 0.3$ とします。
#
# $F$ はユニタリなので、実は $\beta = 1$、$v = $ 雑音の分散とした**一歩**が、事後平均 (二乗誤差の最小値) です。どこまで迫れますか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4
def recover(y, steps, variances):
    x = torch.zeros_like(y)
    for step, v in zip(steps, variances, strict=True):
        x = shrink(x + step * forward(y - backward(x)), v)
    return x


steps = torch.full((ROUNDS,), 0.5, requires_grad=True)
logs = torch.full((ROUNDS,), 0.3).log().requires_grad_()  # v は正でなければならないので、対数を学習する
optimiser = torch.optim.Adam([steps, logs], lr=0.05)
untrained = error(recover(y, steps, logs.exp()).detach())
for _ in range(40 if SMOKE else 400):
    truth, seen = transmit(10 if SMOKE else 20)
    loss = (recover(seen, steps, logs.exp()) - truth).abs().square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
with torch.no_grad():
    trained = error(recover(y, steps, logs.exp()))
    best = error(shrink(forward(y), VARIANCE))
for name, value in {"plain FFT": plain, "untrained": untrained, "trained": trained, "posterior mean": best}.items():
    print(f"{name:14s} {value:.5f}")
assert trained < untrained and trained < plain
assert trained > 0.9 * best  # 事後平均より良い推定はない (標本の揺らぎを除いて)
assert SMOKE or trained < 1.2 * best

# %% [markdown]
# ## What to remember / まとめ
#
# - 縮小関数は「信号についての知識」そのもの。疎なら軟しきい値、8-PSKなら8点へのやわらかい射影になる。
# - 問題がユニタリ変換でほどけるなら、繰り返しは要らない。学習した結果は、いつも最良の値と並べて見る。
# - 複素雑音の分散 $\sigma^2$ は、実部と虚部に半分ずつ分かれる。両方に $\sigma^2$ を入れると3 dBずれる。
