"""PCA against LoRAE on real tables: errors of rows that neither has seen, at the same number of components."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lorae import LoRAE

TABLES = {
    "wine, 2": (load_wine().data, 2),
    "diabetes, 8": (load_diabetes().data, 8),
    "breast cancer, 10": (load_breast_cancer().data, 10),
    "digits, 8": (load_digits().data, 8),
}

ratios = {}
for name, (table, rank) in TABLES.items():
    train, test = train_test_split(table, random_state=0)
    scale = StandardScaler().fit(train)
    pca = make_pipeline(scale, PCA(rank)).fit(train)
    model = LoRAE(rank, random_state=0).fit(train)
    errors = [
        np.square(scale.transform(test) - scale.transform(fitted.inverse_transform(fitted.transform(test)))).mean()
        for fitted in (model, pca)
    ]
    ratios[name] = errors[0] / errors[1]
    chosen = "networks" if model.curved_ else "PCA itself, since no network was better"
    print(f"{name} components: error {errors[0]:.3f}, of PCA {errors[1]:.3f}; chosen: {chosen}")

figure, axes = plt.subplots(figsize=(4.6, 2.4))
bars = axes.barh(list(ratios), list(ratios.values()))
axes.bar_label(bars, fmt="%.2f", padding=-32, color="white")
axes.axvline(1, color="black", linewidth=1)
axes.set(xlim=(0, 1.15), xlabel="error of LoRAE relative to PCA's (line)")
axes.invert_yaxis()
figure.savefig("tables.png")

assert max(ratios.values()) < 1.05
assert min(ratios.values()) < 0.6
