# %% [markdown]
# # 2. Logic gates by learning / 論理演算の学習
#
# 演習2-1から2-5。入力2、中間2、出力1の小さなネットワークに、AND、OR、EXOR (排他的論理和) を学ばせます。
# ネットワークと損失はここで一行ずつ書き、勾配は shinso の自動微分 (NumPyだけで書かれたもの) が求めます。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from shinso.autodiff.byhand.adam_update import Adam
from shinso.autodiff.functions import affine, sigmoid
from shinso.autodiff.tensor import Tensor
from shinso.basics.logic import success

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
STEPS = 300 if SMOKE else 1000

# %% [markdown]
# ## The network / ネットワーク
#
# $h = \sigma(x W_1 + b_1)$、$y = \sigma(h W_2 + b_2)$、損失は平均二乗誤差です。
# 入力は四通りしかないので、毎回その中から5個を (重複を許して) 選び、ミニバッチにします。

# %%
INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND = np.array([[0.0], [0.0], [0.0], [1.0]])


def new_weights(rng, hidden=2):
    """重みとしきい値。torch の Linear と同じく ±1/√(入力の数) の一様分布。"""
    def uniform(inputs, *shape):
        return rng.uniform(-1, 1, shape) / inputs**0.5

    return {"W1": uniform(2, 2, hidden), "b1": uniform(2, hidden),
            "W2": uniform(hidden, hidden, 1), "b2": uniform(hidden, 1)}


def answers(weights, x):
    h = sigmoid(affine(x, weights["W1"], weights["b1"]))
    return sigmoid(affine(h, weights["W2"], weights["b2"]))


def train(teacher, steps=STEPS, rate=0.1, seed=0, hidden=2):
    """学習した重みと、損失の列。"""
    rng = np.random.default_rng(seed)
    weights, rule, losses = new_weights(rng, hidden), Adam(lr=rate), []
    for _ in range(steps):
        rows = rng.integers(4, size=5)
        recorded = {name: Tensor(value, requires_grad=True) for name, value in weights.items()}
        loss = ((answers(recorded, INPUTS[rows]) - teacher[rows]) ** 2).mean()
        loss.backward()
        rule.update(weights, {name: tensor.grad for name, tensor in recorded.items()})
        losses.append(loss.item())
    return weights, losses


def solved(weights, teacher):
    """0.5 を境に、四つの答えがすべて正しいか。"""
    return bool(((answers(weights, INPUTS) > 0.5) == (teacher > 0.5)).all())


# %% [markdown]
# ## Exercise 2-1: learn AND / 演習2-1 ANDの学習
#
# 1000ステップ学習し、四つの入力に対する出力を表示してください。パラメータは全部で何個ですか。
# 講義での実行例は 0.0007, 0.0158, 0.0074, 0.9757 でした。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2-1
weights, losses = train(AND)
print(np.round(answers(weights, INPUTS).ravel(), 4))
print("parameters:", sum(value.size for value in weights.values()))
plt.semilogy(losses)
plt.xlabel("step")
plt.ylabel("loss")
plt.show()
assert solved(weights, AND)
assert sum(value.size for value in weights.values()) == 2 * 2 + 2 + 2 + 1 == 9

# %% [markdown]
# ## Exercise 2-2: fewer and more steps / 演習2-2 ステップ数
#
# 10、100、300、1000ステップでは、それぞれ何が起きますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2-2
for steps in (10, 100, 300) if SMOKE else (10, 100, 300, 1000):
    weights, losses = train(AND, steps=steps)
    print(f"{steps:5d} steps: {np.round(answers(weights, INPUTS).ravel(), 3)}  {solved(weights, AND)}")
    assert solved(weights, AND) == (steps > 10)  # 10 ステップでは足りない

# %% [markdown]
# ## Exercise 2-3: the learning rate / 演習2-3 学習率
#
# 0.001、0.01、0.1、1 を比べてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2-3
final = {}
for rate in (0.001, 0.01, 0.1, 1.0):
    weights, losses = train(AND, rate=rate)
    final[rate] = np.mean(losses[-100:])
    plt.semilogy(losses, label=f"rate {rate}")
plt.legend()
plt.xlabel("step")
plt.show()
for rate, loss in final.items():
    print(f"rate {rate}: mean loss of the last 100 steps {loss:.2e}")
assert final[0.1] < final[0.01] < final[0.001]  # 小さすぎる学習率では 1000 ステップで終わらない

# %% [markdown]
# ## Exercise 2-4: OR / 演習2-4 OR
#
# どこを変えればよいか、変える前に言ってください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2-4
OR = np.array([[0.0], [1.0], [1.0], [1.0]])  # 教師信号だけを変えればよい
seeds = 3 if SMOKE else 10
right = sum(solved(train(OR, seed=seed)[0], OR) for seed in range(seeds))
print(f"solved: {right} of {seeds}")
assert right >= 0.9 * seeds

# %% [markdown]
# ## Exercise 2-5: EXOR / 演習2-5 排他的論理和
#
# 「少し難しい」とされる問題です。一回の実行で判断せず、**たくさんの初期値**で成功率を調べてください。
# 中間ユニットを 0, 2, 3, 4, 8 個にするとどう変わりますか。`shinso.basics.logic.success` は、50個のネットワークを
# 同時に学習し、10ステップごとの成功率を返します (例: `success("xor", 2, 1000)[-1]`)。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2-5
EXOR = np.array([[0.0], [1.0], [1.0], [0.0]])
shares = {hidden: success("xor", hidden, STEPS)[-1] for hidden in (0, 2, 3, 4, 8)}
print(shares)
assert shares[0] == 0  # 中間層がなければ直線しか引けず、EXOR は決して学べない
assert 0 < shares[2] < 1  # 二個では局所最小に落ちる初期値がある: 一回の実行は答えにならない
assert shares[8] > shares[2]

# 手で重みを定めれば、二つの中間ユニットで EXOR は表せる: x1 OR x2 と x1 AND x2 の差
by_hand = {"W1": np.full((2, 2), 20.0), "b1": np.array([-10.0, -30.0]),
           "W2": np.array([[20.0], [-20.0]]), "b2": np.array([-10.0])}
print(np.round(answers(by_hand, INPUTS).ravel(), 4))
assert solved(by_hand, EXOR)

# %% [markdown]
# ## What to remember / まとめ
#
# - 教師信号を変えるだけで、同じネットワークが別の論理演算を学ぶ。
# - 表せること (重みが存在すること) と、学べること (勾配法がそこへ着くこと) は別である。
# - `shinso run basics.logic --gate xor --hidden 4` で、決定境界の図とともに試せます。
