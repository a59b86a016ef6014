"""The exponents of the growth benchmark, and the page that is drawn from its records."""

import pytest

from benchmarks import growth
from studies import common


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found_from_a_value_on(power):
    rows = [{"value": value, "seconds": 3 * value**power} for value in (10, 100, 1000)]
    rows.append({"value": 1, "seconds": 1e9})  # before the range
    assert growth.exponent(rows, 10) == pytest.approx(power)
    assert growth.exponent(rows[:1], 10) is None


def test_imagenet_is_calculated_from_the_records():
    text = growth.imagenet({"prepare": [{"value": 1000, "seconds": 0.0256}]})  # 100 nanoseconds a pixel
    step = next(r["result"]["milliseconds"] for r in growth.Records(common.ROOT / growth.GPU_FOLDER).all()
                if (r["part"], r["name"]) == growth.MEASURED)  # fmt: skip
    small, large = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:])
    speed = 32 / step * 1000
    assert float(small[1].replace(",", "")) == pytest.approx(speed, rel=1e-3)
    assert float(large[1].replace(",", "")) == pytest.approx(speed * (64 / 224) ** 2, rel=1e-3)
    hours = 100 * 1_281_167 / (8 * speed) / 3600
    assert [float(word) for word in small[2].split(" to ")] == pytest.approx([hours, hours / 0.8], abs=0.051)
    assert (small[4], large[4]) == ("16", "193")
    assert float(small[5]) == pytest.approx(1_281_167 * 3 * 64**2 * 1e-7 / 60, abs=0.5)


def test_the_page_is_drawn_from_the_records(monkeypatch):
    drawn = {}
    monkeypatch.setattr(common, "write_section", lambda page, mark, text: drawn.update({mark: text}))
    growth.draw()
    page = (common.ROOT / growth.PAGE).read_text(encoding="utf-8")
    assert set(drawn) == {"growth", "imagenet"}
    for mark, text in drawn.items():
        assert f"<!-- {mark} -->\n{text}\n<!-- end of {mark} -->" in page


def test_a_measurement_is_one_of_its_own_process(tmp_path):
    found = growth.in_a_process("prepare", tmp_path, 50)
    assert found["value"] == 50
    assert 0 < found["seconds"] < 10
    assert (tmp_path / "cache" / "data").is_dir()
