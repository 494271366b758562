"""Model cards are current, and `denoise models` lists what is shipped."""

import json

import pytest

from denoise_lib import cli
from denoise_lib.commands import models as command
from denoise_lib.data import wide_corpora
from denoise_lib.models.baselines import BASELINES, Identity
from denoise_lib.models.cards import WITHOUT, card, licences, weights, write_cards
from denoise_lib.models.checkpoints import (
    load_pretrained,
    pretrained_names,
    read_record,
    save_model,
)
from denoise_lib.names import score
from denoise_lib.paths import PRETRAINED, ROOT


@pytest.mark.parametrize("name", pretrained_names())
def test_the_card_beside_each_network_is_current(name):
    path = PRETRAINED / f"{name}.md"
    assert path.exists() and path.read_text(encoding="utf-8") == card(name), (
        "run `denoise models --cards`"
    )


def test_no_card_is_left_of_a_network_that_is_gone():
    cards = {path.stem for path in PRETRAINED.glob("*.md")} - {"README"}
    assert cards == set(pretrained_names())


def test_a_card_holds_the_published_scores():
    published = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    (row,) = [
        each
        for each in published["results"]
        if (each["experiment"], each["model"], each["condition"], each["split"], each["metric"])
        == ("08_outside:compared", "dcunet-stft", "both", "test", "si_sdr")
    ]
    line = f"| {score('si_sdr', row['noisy'])} | {score('si_sdr', row['denoised'])} | {row['n']} |"
    assert line in card("dcunet-stft")


def test_whose_recordings_trained_it():
    wide = licences(
        {"plan": {"corpus": ["wide", "x"], "damage": ["OutsideNoise", {"recordings": 9}]}}
    )
    assert any(wide_corpora.NOISE[0].credit in each for each in wide)
    assert any("Allison Smith" in each for each in wide) and any("LinCity" in each for each in wide)
    older = [
        {"plan": {"corpus": ["wide", each], "damage": ["Corruption", {}]}}
        for each in WITHOUT["festvox-ru"]
    ]
    assert not any("Shmyrev" in each for record in older for each in licences(record))
    later = [each for each in wide if "Shmyrev" in each]
    assert later and not any(
        each in licences(read_record(PRETRAINED / "repair.safetensors")) for each in later
    )
    plain = {"corpus": ["default", "x"], "damage": ["Corruption", {}]}
    assert not any("LinCity" in each for each in licences({"plan": plain}))
    assert not any(wide_corpora.NOISE[0].credit in each for each in licences({"plan": plain}))
    assert licences({"plan": plain, "earlier": [{"corpus": ["wide", "x"]}]}) == (
        list(
            dict.fromkeys(licences({"plan": plain}) + licences({"plan": {"corpus": ["wide", "x"]}}))
        )
    )
    street = plain | {"damage": ["StreetMix", {"recordings": 47}]}
    assert any("LinCity" in each for each in licences({"plan": street}))
    assert "not known" in licences({"plan": {"corpus": ["mine", "x"]}})[0]


def test_weights_are_those_in_the_file(tmp_path):
    model = load_pretrained("germain")
    save_model(tmp_path / "x.safetensors", model)
    assert weights(tmp_path / "x.safetensors") == sum(
        each.numel() for each in model.state_dict().values()
    )


def test_the_table_names_everything(monkeypatch, capsys):
    monkeypatch.setattr(command, "speed", lambda model: 0.125)
    with pytest.raises(SystemExit) as ended:
        cli.main(["models"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    table = out.partition("\n\n")[0].splitlines()
    heads = [line.split()[0] for line in table]
    assert heads == ["name", *pretrained_names(), *BASELINES]
    rows = {line.split()[0]: [each for each in line.split("  ") if each] for line in table}
    assert len({len(row) for row in rows.values()}) == 1, "every row has every column"
    speech = [each.strip() for each in rows["speech"]]
    assert speech[2:4] == ["32 ms", "0.125"] and "CC BY" in speech[5]
    assert rows["log_mmse"][2].strip() == "not live"
    assert rows["webrtc"][2].strip() == "16 ms"
    assert table[0].index("licences") == table[1].index(rows[heads[1]][5].strip())


def test_speed_is_a_share_of_real_time():
    assert 0 < command.speed(Identity()) < 1


def test_cards_are_written_whole(tmp_path):
    paths = write_cards(tmp_path)
    assert [path.stem for path in paths] == pretrained_names()
    assert paths[0].read_text(encoding="utf-8") == card(paths[0].stem)
