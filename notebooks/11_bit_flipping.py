# %% [markdown]
# # 11. The noisy bit-flipping decoder / 雑音を加えるビット反転復号 (Noisy GDBF)
#
# LDPC符号の復号器です。学習はしません。受け取った値と検査の結果からビットごとの「怪しさ」を計算し、怪しいビットを一斉に
# 反転させます。わざと**雑音を加える**と局所最適から抜け出せる、という不思議な性質があります。
#
# 講義は長さ1008の符号のファイルを読み込んでいましたが、ここでは小さな符号をその場で作ります。GPUは要りません。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from shinso.maths.awgn import awgn, noise_deviation
from shinso.metrics.symbol_error_rate import decide, q_function, symbol_error_rate

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす

# %% [markdown]
# ## A small code / 小さな符号
#
# 素数 $p = 31$ に対し、巡回行列 $P^{jl}$ ($j = 0,1,2$; $l = 0,\dots,5$) を並べると、各列に1が3個、各行に1が6個の検査行列 $H$ が
# できます (array LDPC符号)。どの二つの行も、重なる列は高々一つです。

# %%
p = 31
H = np.block([[np.roll(np.eye(p, dtype=int), j * l % p, axis=1) for l in range(6)] for j in range(3)])
print("H:", H.shape, "ones per column:", set(H.sum(0).tolist()), "ones per row:", set(H.sum(1).tolist()))
overlap = H @ H.T
assert overlap[~np.eye(len(H), dtype=bool)].max() == 1

# %% [markdown]
# ## Exercise 1: a generator / 演習1 生成行列
#
# 2を法とする掃き出し法で $H$ の階数と、$GH^\top = 0 \pmod 2$ を満たす生成行列 $G$ を求めてください。
# 情報ビット数 $k$ は $n - m$ でしょうか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1
def reduced(matrix):
    """2を法とする階段形 (0の行は除く) と、軸の列。"""
    rows, pivots = matrix.copy() % 2, []
    for column in range(rows.shape[1]):
        below = np.flatnonzero(rows[len(pivots):, column]) + len(pivots)
        if len(below) == 0:
            continue
        rows[[len(pivots), below[0]]] = rows[[below[0], len(pivots)]]
        others = np.flatnonzero(rows[:, column])
        others = others[others != len(pivots)]
        rows[others] ^= rows[len(pivots)]
        pivots.append(column)
        if len(pivots) == len(rows):
            break
    return rows[:len(pivots)], pivots


def generator(H):
    """零空間の基底 (k, n): 軸でない列を一つずつ1にする。"""
    rows, pivots = reduced(H)
    free = [column for column in range(H.shape[1]) if column not in pivots]
    G = np.zeros((len(free), H.shape[1]), dtype=int)
    G[np.arange(len(free)), free] = 1
    G[:, pivots] = rows[:, free].T
    return G


G = generator(H)
(m, n), k = H.shape, len(G)
print(f"n {n}, m {m}, rank {n - k}, k {k}, rate {k / n:.4f}")
assert not (G @ H.T % 2).any()
assert k == n - len(reduced(H)[1]) == n - m + 2  # H の行は独立ではない: k は n - m でなく n - rank H

# %% [markdown]
# ## Exercise 2: the decoder / 演習2 復号器
#
# ビット 0, 1 を $+1, -1$ で送り、$y$ を受け取ります。仮の判定 $x = \pm 1$ から始め、次を20回繰り返します。
#
# - 検査 $i$ の値 $s_i = \prod_{j \in i} x_j$ (満たされていれば $+1$)
# - $r_j = x_j y_j + \sum_{i \ni j} s_i + \theta + v_j$、$\theta = 0.4$、加える雑音 $v_j$ の分散は 0.4
# - $r_j < 0$ のビットをすべて反転する。検査がすべて満たされた語は、そこで止める
#
# 通信路の雑音も $v_j$ もないとき、符号語はそのまま残りますか。$y_j = 0$ のとき `np.sign` を使うと何が起きますか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2
def checks(x):
    """s (語, m): 各検査に入っている -1 の個数の偶奇から。"""
    return 1 - 2 * ((x < 0).astype(np.float32) @ H.T.astype(np.float32) % 2)


def decode(y, rng, offset=0.4, deviation=0.4**0.5, rounds=20):
    """判定した語 ±1 (語, n)。雑音は語ごとに引く (講義のコードは、すべての語に同じ雑音を加えていた)。"""
    x = decide(y)  # sign(0) = 0 では積 s が 0 になり、そのビットは消えてしまう
    for _ in range(rounds):
        s = checks(x)
        active = (s < 0).any(1)
        if not active.any():
            break
        r = x[active] * y[active] + s[active] @ H + offset
        r = r + deviation * rng.standard_normal(r.shape) if deviation else r
        x[active] = np.where(r < 0, -x[active], x[active])
    return x


rng = np.random.default_rng(0)
sent = 1.0 - 2 * (rng.integers(2, size=(200, k)) @ G % 2)
assert (checks(sent) == 1).all()
assert np.array_equal(decode(sent, rng, deviation=0), sent)  # 雑音がなければ符号語は不動点
assert (sent * sent + checks(sent) @ H + 0.4 > 0).all()  # 止める規則がなくても、r は正のまま: 反転は起きない
silent = sent.copy()
silent[:, 0] = 0  # 一つのビットを、まったく受け取れなかった
signs = np.sign(silent)
products = np.array([[np.prod(word[row == 1]) for row in H] for word in signs[:1]])
assert (products == 0).sum() == 3  # np.sign では、そのビットを含む3個の検査がすべて消える
assert np.array_equal(decode(silent, rng, deviation=0), sent)  # どちらかに決めれば、検査が正してくれる

# %% [markdown]
# ## Exercise 3: the bit error rate / 演習3 ビット誤り率
#
# $E_b/N_0$ を 2 dB から 5 dB まで変え、復号前後のビット誤り率を図にしてください。
# 雑音の標準偏差は $\sigma = \sqrt{10^{-\mathrm{snr}/10} / 2R}$ ($R = k/n$) です。雑音を加えない復号器とも比べます。
# 雑音を加える効果は、20回では見えにくく、100回繰り返すとはっきりします。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3
count = 400 if SMOKE else 4000
rows = []
for snr in (2.0, 3.0, 4.0, 5.0):
    sigma = noise_deviation(snr, k / n)
    word = 1.0 - 2 * (rng.integers(2, size=(count, k)) @ G % 2)
    y = awgn(word, sigma, rng)
    raw = symbol_error_rate(word, decide(y))
    plain = symbol_error_rate(word, decode(y, rng, deviation=0, rounds=100))
    noisy = symbol_error_rate(word, decode(y, rng, rounds=100))
    rows.append((snr, raw, plain, noisy))
    predicted = float(q_function(1 / sigma))
    print(f"{snr} dB: raw {raw:.4f} (predicted {predicted:.4f}), plain {plain:.5f}, noisy {noisy:.5f}")
    assert abs(raw - predicted) < 4 * (raw / word.size) ** 0.5
snr, raw, plain, noisy = np.array(rows).T
for name, rate in {"raw": raw, "without added noise": plain, "noisy GDBF": noisy}.items():
    plt.semilogy(snr, np.maximum(rate, 1e-7), "o-", label=name)
plt.xlabel("Eb/N0 [dB]")
plt.ylabel("bit error rate")
plt.legend()
plt.show()
assert (np.diff(noisy) < 0).all()  # 通信路が良くなるほど誤りは減る
assert noisy[-1] < raw[-1] / 5
assert (noisy[2:] < plain[2:]).all()  # わざと加えた雑音が、局所最適から抜け出させる

# %% [markdown]
# ## What to remember / まとめ
#
# - 検査を満たすビット列を探すのは、でこぼこな関数の最大化である。雑音は、浅い山から降りる手段になる。
# - 符号の率は $1 - m/n$ ではなく、階数から決まる。$E_b/N_0$ を率なしで比べてはいけない。
