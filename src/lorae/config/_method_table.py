"""The rows of the table of methods."""

from typing import Any

from lorae.config._method import Method, table

ERROR = "mean (x - D(z))^2"
SUMMED = "sum (x - D(z))^2"
ELBO = "BCE(x, D(z)) + w KL(q(z|x) | N(0, 1)), summed over an item"
# The same in LaTeX.
ERROR_EQUATION = r"\operatorname{mean}\,(x - D(z))^2"
SUMMED_EQUATION = r"\operatorname{sum}\,(x - D(z))^2"
LATENT_EQUATION = r"\frac{w}{2} \lVert z \rVert^2"
ELBO_EQUATION = (
    r"$\operatorname{BCE}(x, D(z)) + w \operatorname{KL}\left(q(z \mid x) \,\Vert\, \mathcal{N}(0, 1)\right)$, "
    "summed over an item"
)
# The paper does not say how M starts. From the identity the model starts as the plain autoencoder; torch's default, in
# the authors' code, starts many directions near zero, where the penalty removes them before the data can use them:
# after an epoch of MNIST at 1e-4, 17 directions are left instead of 29, and the error is 1.5 times as large.
ONE_MATRIX = {"layers": 1, "init": "identity"}

# Latent of the methods that are meant for a small one: Ghosh et al. give RAE, WAE and AE 16 coordinates for MNIST. With
# 128 the latents fill too many directions for any density: 50 instead of 17 for the WAE (results/tuning/).
SMALL = 16

# At full weight from the first step the divergence may dominate before the decoder uses the latent: every posterior
# then stays the prior (Sonderby et al., NeurIPS 2016, arXiv:1602.02282), as in one run of MNIST.
KL_WARMUP = 1.0

# What the variational methods share: the divergence within the likelihood's own units, sums over an item.
VARIATIONAL: dict[str, Any] = {
    "main": "kl",
    "reconstruction": "sum",
    "likelihood": "bernoulli",
    "prior": True,
    "warmup": KL_WARMUP,
}

METHODS = table(
    [
        Method(
            "ae",
            "plain autoencoder: encoder and decoder, no penalty",
            "Rumelhart, Hinton, Williams (1985)",
            ERROR,
            equation=f"${ERROR_EQUATION}$",
        ),
        Method(
            "vae",
            "variational autoencoder: a Gaussian posterior drawn towards a standard normal prior",
            "Kingma, Welling, ICLR 2014 (arXiv:1312.6114)",
            ELBO,
            "gaussian",
            weights={"kl": 1.0},
            **VARIATIONAL,
            equation=ELBO_EQUATION,
        ),
        Method(
            "irmae",
            "implicit rank minimization: eight linear layers between encoder and decoder, no penalty",
            "Jing, Zbontar, LeCun, NeurIPS 2020 (arXiv:2010.00679)",
            f"{ERROR}, z = M8 ... M1 h",
            "linear",
            # Eight is the count for MNIST in the IRMAE authors' code; the LoRAE paper does not state one.
            {"layers": 8},
            equation=rf"${ERROR_EQUATION}$, $z = M_8 \cdots M_1 h$",
        ),
        Method(
            "lorae",
            "low-rank autoencoder: one linear layer M, penalized by its nuclear norm",
            "Mazumder et al., WACV 2024 (arXiv:2310.16194), equation 1",
            f"{ERROR} + w |M|_*, z = M h",
            "linear",
            ONE_MATRIX,
            weights={"nuclear": 1e-3},  # the paper's lambda for MNIST; data sets may state another
            main="nuclear",
            equation=rf"${ERROR_EQUATION} + w \lVert M \rVert_*$, $z = M h$",
        ),
        Method(
            "lorae+",
            "low-rank autoencoder with an exact rank: the nuclear norm is minimized by proximal steps",
            "this package, docs/numerics.md",
            f"{ERROR} + w |M|_*, z = M h, singular values exactly zero",
            "linear",
            # A normalization before M makes latents of images far harder to sample: docs/numerics.md.
            {"layers": 1, "init": "identity", "normalize": "none", "noise": 0.0},
            weights={"nuclear": 1e-3},
            main="nuclear",
            warmup=1.0,
            matrix_update="prox",
            schedule="cosine",
            revision=2,  # the penalty waits until the network has learned something
            equation=rf"${ERROR_EQUATION} + w \lVert M \rVert_*$, $z = M h$, singular values exactly zero",
        ),
        Method(
            "wae",
            "Wasserstein autoencoder: latents match a standard normal by maximum mean discrepancy",
            "Tolstikhin et al., ICLR 2018 (arXiv:1711.01558)",
            f"{SUMMED} + w MMD(z, N(0, 1))",
            weights={"mmd": 10.0},  # the authors'
            main="mmd",
            reconstruction="sum",
            prior=True,
            latent_dim=SMALL,
            equation=rf"${SUMMED_EQUATION} + w \operatorname{{MMD}}\left(z, \mathcal{{N}}(0, 1)\right)$",
        ),
        Method(
            "wae-gan",
            "Wasserstein autoencoder: an adversary tells latents from a standard normal",
            "Tolstikhin et al., ICLR 2018 (arXiv:1711.01558)",
            f"{SUMMED} + w log(1 + exp(-A(z))), against an adversary A",
            # The authors' 10 belongs to 8 coordinates; against 128 the encoder then gives up on reconstructing.
            weights={"generator": 1.0, "discriminator": 1.0},
            main="generator",
            reconstruction="sum",
            adversary="latents",
            prior=True,
            lr=3e-4,  # the authors' for the autoencoder
            beta1=0.5,
            equation=rf"${SUMMED_EQUATION} + w \log\left(1 + e^{{-A(z)}}\right)$, against an adversary $A$",
        ),
        Method(
            "rae-l2",
            "regularized autoencoder: small latents and small decoder weights",
            "Ghosh et al., ICLR 2020 (arXiv:1903.12436)",
            f"{ERROR} + w |z|^2 / 2 + v |decoder|^2 / 2",
            # Relative to the mean error; ten times either weight raises the error on MNIST by a tenth.
            weights={"latent_l2": 1e-4, "decoder_l2": 1e-7},
            main="latent_l2",
            latent_dim=SMALL,
            equation=rf"${ERROR_EQUATION} + {LATENT_EQUATION} + \frac{{v}}{{2}} \lVert \theta_D \rVert^2$",
        ),
        Method(
            "rae-gp",
            "regularized autoencoder: small latents and a decoder with small gradients",
            "Ghosh et al., ICLR 2020 (arXiv:1903.12436)",
            f"{ERROR} + w |z|^2 / 2 + v |dD/dz|^2",
            weights={"latent_l2": 1e-4, "decoder_gradient": 1e-7},
            main="latent_l2",
            latent_dim=SMALL,
            equation=rf"${ERROR_EQUATION} + {LATENT_EQUATION} + v \lVert \partial D / \partial z \rVert^2$",
        ),
        Method(
            "rae-sn",
            "regularized autoencoder: small latents and a decoder of spectral norm one in each layer",
            "Ghosh et al., ICLR 2020 (arXiv:1903.12436)",
            f"{ERROR} + w |z|^2 / 2, decoder layers of spectral norm 1",
            weights={"latent_l2": 1e-7},  # the bounded decoder needs large latents
            main="latent_l2",
            spectral_norm=True,
            latent_dim=SMALL,
            equation=rf"${ERROR_EQUATION} + {LATENT_EQUATION}$, decoder layers of spectral norm 1",
        ),
        *(
            Method(
                name,
                f"generative adversarial network, {words}",
                source,
                objective,
                weights={"generator": 1.0, "discriminator": 1.0},
                adversary=adversary,
                prior=True,
                encodes=False,
                equation=equation,
                # On the discriminator's input; without it the minimax generator gets no gradient.
                noise=0.3 if adversary == "minimax" else 0.0,
                # The step sizes of the DCGAN paper (arXiv:1511.06434): with Adam's usual ones both sides run away.
                lr=2e-4,
                beta1=0.5,
            )
            for name, adversary, words, objective, equation, source in (
                (
                    "gan",
                    "minimax",
                    "minimax: the decoder against a discriminator",
                    "log(1 - S(A(D(z)))) against -log S(A(x)) - log(1 - S(A(D(z))))",
                    r"$\log(1 - S(A(D(z))))$ against $-\log S(A(x)) - \log(1 - S(A(D(z))))$",
                    "Goodfellow et al., NeurIPS 2014 (arXiv:1406.2661)",
                ),
                (
                    "ns-gan",
                    "non-saturating",
                    "with the generator loss that does not saturate",
                    "-log S(A(D(z))) against -log S(A(x)) - log(1 - S(A(D(z))))",
                    r"$-\log S(A(D(z)))$ against $-\log S(A(x)) - \log(1 - S(A(D(z))))$",
                    "Goodfellow et al., NeurIPS 2014 (arXiv:1406.2661)",
                ),
                (
                    "ls-gan",
                    "least-squares",
                    "with squared losses",
                    "(A(D(z)) - 1)^2 / 2 against (A(x) - 1)^2 / 2 + A(D(z))^2 / 2",
                    r"$\frac{1}{2} (A(D(z)) - 1)^2$ against $\frac{1}{2} (A(x) - 1)^2 + \frac{1}{2} A(D(z))^2$",
                    "Mao et al., ICCV 2017 (arXiv:1611.04076)",
                ),
            )
        ),
        Method(
            "vae-flow",
            "variational autoencoder whose posterior is bent by eight planar flows",
            "Rezende, Mohamed, ICML 2015 (arXiv:1505.05770)",
            f"{ELBO}, q bent by planar flows",
            "flow",
            {"layers": 8},
            weights={"kl": 1.0},
            **VARIATIONAL,
            equation=f"{ELBO_EQUATION}, $q$ bent by planar flows",
        ),
        Method(
            "beta-vae",
            "variational autoencoder with a heavier prior",
            "Higgins et al., ICLR 2017",
            ELBO,
            "gaussian",
            weights={"kl": 4.0},  # the value that its authors use most
            **VARIATIONAL,
            equation=ELBO_EQUATION,
        ),
        Method(
            "vq-vae",
            "vector-quantized autoencoder: latents made of codes from a learned book",
            "van den Oord et al., NeurIPS 2017 (arXiv:1711.00937)",
            f"{ERROR} + w mean (h - code(h))^2",
            "quantizer",
            {"groups": 16, "codes": 256},
            weights={"commitment": 0.25, "unused_codes": 0.0},
            main="commitment",
            equation=rf"${ERROR_EQUATION} + w \operatorname{{mean}}\,(h - \operatorname{{code}}(h))^2$",
        ),
        Method(
            "dae",
            "denoising autoencoder: restores inputs from noisy ones",
            "Vincent et al., ICML 2008",
            "mean (x - D(E(x + noise)))^2",
            noise=0.3,  # a third of the range of a pixel, where digits are still legible
            equation=r"$\operatorname{mean}\,(x - D(E(x + \varepsilon)))^2$ with noise $\varepsilon$",
        ),
        Method(
            "sparse",
            "sparse autoencoder: latents with few entries that are not zero",
            "Ng, CS294A lecture notes 2011; penalty as in Olshausen, Field, Nature 1996",
            f"{ERROR} + w |z|_1",
            weights={"l1": 1e-5},
            main="l1",
            equation=rf"${ERROR_EQUATION} + w \lVert z \rVert_1$",
        ),
        Method(
            "contractive",
            "contractive autoencoder: latents that change little with the input",
            "Rifai et al., ICML 2011",
            f"{ERROR} + w |dE/dx|^2",
            weights={"contractive": 1e-5},
            main="contractive",
            equation=rf"${ERROR_EQUATION} + w \lVert \partial E / \partial x \rVert^2$",
        ),
        Method(
            "diabolo",
            "a narrow linear layer in the middle, no penalty: the rank is chosen beforehand",
            "Rumelhart, Hinton, Williams (1985)",
            f"{ERROR}, z = B A h with A of 16 rows",
            "narrow",
            {"rank": 16},
            equation=f"${ERROR_EQUATION}$, $z = B A h$ with $A$ of 16 rows",
        ),
        Method(
            "ae-small",
            "plain autoencoder with a small latent: a strong baseline if sampled from a mixture",
            "Ghosh et al., ICLR 2020 (arXiv:1903.12436), table 1",
            ERROR,
            latent_dim=SMALL,
            equation=f"${ERROR_EQUATION}$",
        ),
        Method(
            "irmae-wd",
            "implicit rank minimization by four linear layers with weight decay",
            "Zeng et al., 2023 (arXiv:2305.01090)",
            f"{ERROR} + w (|M1|^2 + ... + |M4|^2) / 2, z = M4 ... M1 h",
            "linear",
            {"layers": 4},
            weights={"matrix_l2": 1e-4},
            main="matrix_l2",
            equation=rf"${ERROR_EQUATION} + \frac{{w}}{{2}} \sum_k \lVert M_k \rVert^2$, $z = M_4 \cdots M_1 h$",
        ),
        Method(
            "rrae",
            "rank-reduction autoencoder: the batch of latents cut to rank 16 by its singular vectors",
            "Mounayer et al., 2024 (arXiv:2405.13980)",
            f"{ERROR}, z = h V V' with the 16 leading singular vectors of the batch",
            "truncated",
            {"rank": 16},
            equation=rf"${ERROR_EQUATION}$, $z = V V^\top h$ with the 16 leading singular vectors $V$ of the batch",
        ),
        Method(
            "least-volume",
            "the smallest box that holds the latents, under a decoder that cannot stretch",
            "Chen, Fuge, ICLR 2024 (arXiv:2404.17773)",
            f"{ERROR} + w (sd(z1) ... sd(zl))^(1/l), decoder layers of spectral norm 1",
            weights={"log_volume": 1e-3},
            main="log_volume",
            spectral_norm=True,
            equation=rf"${ERROR_EQUATION} + w (s_1 \cdots s_l)^{{1/l}}$, deviations $s_i$, decoder layers of norm 1",
        ),
        Method(
            "nested",
            "nested dropout: the first coordinates carry the most",
            "Rippel et al., ICML 2014 (arXiv:1402.0915)",
            "mean (x - D(z up to k))^2 with random k",
            "nested",
            {"rate": None},  # by the latent, so that a quarter of it is kept on average
            equation=r"$\operatorname{mean}\,(x - D(z_{1:k}))^2$ with random $k$",
        ),
        *(
            Method(
                f"lorae-{name.replace('_', '-')}",
                f"low-rank autoencoder with {words} of M instead of its nuclear norm",
                source,
                f"{ERROR} + w {formula}, z = M h",
                "linear",
                ONE_MATRIX,
                weights={name: 1e-4},
                main=name,
                equation=rf"${ERROR_EQUATION} + w \sum_i {term}$, $z = M h$",
                # Penalties that are not convex remove directions permanently, so they start at weight zero.
                warmup=1.0,
            )
            for name, words, formula, term, source in (
                (
                    "log_det",
                    "a log-determinant",
                    "sum log(1 + s/e)",
                    r"\log(1 + 10\,\sigma_i)",
                    "Fazel, Hindi, Boyd, ACC 2003",
                ),
                ("schatten", "a Schatten quasi-norm", "sum s^(1/2)", r"\sqrt{\sigma_i}", "Nie, Huang, Ding, AAAI 2012"),
                (
                    "mcp",
                    "the minimax concave penalty",
                    "sum mcp(s)",
                    r"\operatorname{mcp}(\sigma_i)",
                    "Zhang, Annals of Statistics 2010",
                ),
            )
        ),
    ]
)
