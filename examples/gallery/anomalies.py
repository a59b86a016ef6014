"""Anomaly detection: reconstruction errors of digits, and of tissue, of kinds that the model has never seen."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from lorae import LoRAE

digits, tissue = load_digits(), load_breast_cancer()
# Name -> items, which of them are normal, rank. Models are fitted to three quarters of the normal ones.
DATA = {
    "digits 5 to 9, trained on 0 to 4": (digits.data, digits.target < 5, 12),
    "malignant tissue, trained on benign": (tissue.data, tissue.target == 1, 5),
}

figure, panels = plt.subplots(len(DATA), figsize=(4.6, 4.8))
areas = {}
for axes, (name, (items, is_normal, rank)) in zip(panels, DATA.items(), strict=True):
    train, new = train_test_split(items[is_normal], random_state=0)
    test = np.concatenate([new, items[~is_normal]])
    is_abnormal = np.repeat([0, 1], [len(new), (~is_normal).sum()])

    model = LoRAE(rank, contamination=0.05, random_state=0).fit(train)
    scale = StandardScaler().fit(train)
    pca = PCA(rank).fit(scale.transform(train))
    rows = scale.transform(test)
    scores = {
        "LoRAE": model.anomaly_score(test),
        "PCA": np.square(rows - pca.inverse_transform(pca.transform(rows))).mean(1),
        "isolation forest": -IsolationForest(random_state=0).fit(train).score_samples(test),
    }
    areas[name] = {method: roc_auc_score(is_abnormal, score) for method, score in scores.items()}
    print(f"{name}; LoRAE chose {'networks' if model.curved_ else 'PCA itself'}")
    print("  area under the ROC curve: " + ", ".join(f"{key} {area:.3f}" for key, area in areas[name].items()))
    found = model.predict(test) == -1
    caught, alarms = (found[is_abnormal == kind].mean() for kind in (1, 0))
    print(f"  called anomalies: {caught:.0%} of the abnormal, {alarms:.0%} of the normal ones")
    abnormal = rows[is_abnormal == 1]
    inside = np.square(pca.transform(abnormal)).sum() / np.square(abnormal).sum()
    print(f"  of their squared distance from the mean, {inside:.0%} is within the {rank} directions of PCA")

    bins = np.geomspace(scores["LoRAE"].min(), scores["LoRAE"].max(), 30)
    for label, kind in (("normal", 0), ("abnormal", 1)):
        axes.hist(scores["LoRAE"][is_abnormal == kind], bins, alpha=0.6, label=label)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", title=name, ylabel="items")
    axes.legend()
panels[-1].set_xlabel("anomaly score (threshold at 1)")
figure.savefig("anomalies.png")

on_digits, on_tissue = areas.values()
assert on_digits["LoRAE"] > max(on_digits["PCA"], on_digits["isolation forest"])
assert on_tissue["LoRAE"] > on_tissue["PCA"] - 0.01
