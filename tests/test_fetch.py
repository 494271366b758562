"""Fetching: from a local server and from a stand-in for apt-get, undisturbed and disturbed."""

import errno
import io
import json
import os
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from archive_server import ArchiveServer, archive, package, prompts

from denoise_lib.data import corpora, decoded, default_corpora, download, fetch, unpack
from denoise_lib.errors import UserError

pytestmark = pytest.mark.slow

LANGUAGES = ("en", "ru")
NAMES = ("hello", "digits/1", "digits/2", "vm-goodbye")


@pytest.fixture
def server():
    server = ArchiveServer()
    yield server
    server.stop()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, with nothing of the user's settings."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DENOISE_DATA", str(folder))
    monkeypatch.delenv("DENOISE_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    for place in ("UPSTREAM", "PAST_PACKAGES"):  # nobody listens there
        monkeypatch.setattr(default_corpora, place, "http://127.0.0.1:9/nothing")
    return folder


@pytest.fixture
def upstream(server, cache, tmp_path, monkeypatch):
    """The default speech corpus in small: two languages on a local server, no apt."""
    made = []
    for seed, language in enumerate(LANGUAGES):
        recordings = prompts(NAMES, seed)
        made.append(package(language, recordings, tmp_path / language))
        server.files[made[-1].archive] = archive(recordings)
    monkeypatch.setattr(fetch, "CORPORA", {"speech": tuple(made)})
    monkeypatch.setenv("DENOISE_MIRROR", server.url)
    return server


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def one_line(caught, *parts):
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_from_upstream_and_then_from_the_cache(upstream, cache):
    corpus = corpora.open_speech(fractions=(1, 0, 0))
    assert [clip.name for clip in corpus.split("train")] == [f"en/{name}" for name in sorted(NAMES)]
    assert len(upstream.log) == len(LANGUAGES)
    clip = corpus.clips[0]
    assert clip.samples == len(corpus.waveform(clip)) == 32000
    assert 0.01 < corpus.waveform(clip).abs().max() <= 1
    assert not (cache / "work").exists()

    upstream.stop()  # from here on there is no network
    again = corpora.open_speech(fractions=(1, 0, 0))
    assert again.digest == corpus.digest
    assert again.waveform(clip).equal(corpus.waveform(clip))
    assert len(upstream.log) == len(LANGUAGES)


def test_interrupted_download_resumes(upstream, cache):
    upstream.breaks = 1
    fetch.fetch_corpus("speech")
    name = fetch.CORPORA["speech"][0].archive
    half = len(upstream.files[name]) // 2
    assert upstream.log[:2] == [(name, None), (name, f"bytes={half}-")]
    assert (cache / "packages" / name).read_bytes() == upstream.files[name]


def test_broken_connection_is_one_line_and_the_next_call_goes_on(upstream, cache):
    upstream.breaks = download.TRIES
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("speech")
    one_line(caught, "sounds-en", "bytes arrived", "run again")
    name = fetch.CORPORA["speech"][0].archive
    assert files(cache / "packages") == [f"{name}.part"]
    assert files(cache / "corpora") == []
    have = (cache / "packages" / f"{name}.part").stat().st_size
    upstream.log.clear()
    fetch.fetch_corpus("speech")
    assert upstream.log[0] == (name, f"bytes={have}-")
    assert (cache / "packages" / name).read_bytes() == upstream.files[name]


def test_a_server_that_cannot_resume_means_a_clean_start(upstream, cache):
    upstream.breaks, upstream.ranges = 1, False
    fetch.fetch_corpus("speech")
    name = fetch.CORPORA["speech"][0].archive
    assert (cache / "packages" / name).read_bytes() == upstream.files[name]


def test_a_part_of_another_file_is_thrown_away(upstream, cache):
    name = fetch.CORPORA["speech"][0].archive
    (cache / "packages").mkdir(parents=True)
    (cache / "packages" / f"{name}.part").write_bytes(b"x" * 10_000_000)
    fetch.fetch_corpus("speech")
    assert (cache / "packages" / name).read_bytes() == upstream.files[name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(prompts(NAMES, seed=9)), "other recordings"),
        (archive(prompts(NAMES[:-1], seed=0)), "other recordings"),
        (b"<html>please log in</html>", "cannot be unpacked"),
        (archive(prompts(NAMES, seed=0))[:-4000], "cannot be unpacked"),
        (archive({"../../outside.g722": b"x"}), "unsafe name"),
        (b"\x1f\x8b\x08\x04" + bytes(6), "cannot be unpacked"),  # a header that ends early
    ],
)
def test_wrong_content_is_set_aside(upstream, cache, content, message):
    name = fetch.CORPORA["speech"][0].archive
    good, upstream.files[name] = upstream.files[name], content
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("speech")
    one_line(caught, name, message)
    assert files(cache) == ["lock", f"{name}.bad"]
    assert not (cache.parent / "outside.g722").exists()
    upstream.files[name] = good
    fetch.fetch_corpus("speech")


def test_an_archive_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """70 MiB of nothing in 70 kB, in a tar archive and in a zip archive inside a package."""
    nothing = bytes(70 << 20)
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(archive({"bomb.g722": nothing}))
    (tmp_path / "target").mkdir()
    expected = package("en", {}, tmp_path / "empty")
    with pytest.raises(UserError, match="far more than recordings"):
        unpack.recordings(expected, bomb, tmp_path / "target")
    assert not list((tmp_path / "target").iterdir())
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.wav", nothing)
    with pytest.raises(ValueError, match="far more than recordings"):
        list(unpack._zipped(tmp_path / "bomb.zip", ".wav"))


def zipped(change=lambda data: data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("one.wav", b"RIFF" + bytes(200))
    return change(bytearray(file.getvalue()))


def encrypted(data):
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return data


def directory_before_the_beginning(data):
    """What fuzzing found: its end tells of a directory that begins before the file does."""
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = (len(data) + 500).to_bytes(4, "little")
    return data


def offset_of_an_entry(data):
    at = data.index(b"PK\x01\x02")
    data[at + 42 : at + 46] = (0xFFFFFFF0).to_bytes(4, "little")
    return data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x40\0\0\0",
        zipped(encrypted),
        zipped(directory_before_the_beginning),
        zipped(offset_of_an_entry),
    ],
)
def test_a_damaged_archive_in_a_package_is_one_line(tmp_path, content):
    path = tmp_path / "sounds.pk3"
    path.write_bytes(content)
    with pytest.raises(UserError, match="sounds.pk3, an archive in a package, cannot be unpacked"):
        unpack.expand(path, ".wav")


def test_the_sounds_of_a_bundle_of_resources_come_out_whole(tmp_path):
    """Two Ogg files, as soundfile writes them, between other things."""
    sounds = []
    for number, seconds in enumerate((1, 3)):
        voice = 0.1 * np.random.default_rng(number).standard_normal(seconds * 16000)
        soundfile.write(tmp_path / "one.ogg", voice, 16000)
        sounds.append((tmp_path / "one.ogg").read_bytes())
    bundle = tmp_path / "app.gresource"
    between = b"OggS, a word" + bytes(40)
    bundle.write_bytes(b"GVariant" + bytes(99) + sounds[0] + between + sounds[1])
    unpack.expand(bundle, ".ogg")
    assert files(tmp_path) == ["00.ogg", "01.ogg", "one.ogg"]
    assert [(tmp_path / "app" / f"0{number}.ogg").read_bytes() for number in (0, 1)] == sounds


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    """What the system refuses comes through; what cannot be sought is damage."""
    path = tmp_path / "sounds.pk3"
    for number, kind in ((errno.ENOSPC, OSError), (errno.EINVAL, UserError), (None, UserError)):
        path.write_bytes(zipped())
        refused = OSError(number, "refused") if number else OSError("Invalid data stream")
        monkeypatch.setattr(Path, "write_bytes", raising(refused))
        with pytest.raises(kind, match=r"refused|Invalid data"):
            unpack.expand(path, ".wav")
        monkeypatch.undo()


def raising(error):
    def refuse(*_):
        raise error

    return refuse


def test_missing_archive_is_one_line(upstream, cache):
    upstream.files.clear()
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("speech")
    one_line(caught, "sounds-en", "404", "by hand")
    assert files(cache) == ["lock"]


def test_no_network_and_an_empty_cache_is_one_line(upstream, cache):
    upstream.stop()
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("speech")
    one_line(caught, "sounds-en", "refused")
    assert files(cache) == ["lock"]


def test_damaged_file_in_the_cache_is_fetched_again(upstream, cache, capsys):
    fetch.fetch_corpus("speech")
    shutil.rmtree(cache / "corpora")
    name = fetch.CORPORA["speech"][1].archive
    path = cache / "packages" / name
    path.write_bytes(path.read_bytes()[:-100])
    upstream.log.clear()
    fetch.fetch_corpus("speech")
    assert upstream.log == [(name, None)]
    assert "fetching it again" in capsys.readouterr().err


def test_clones_of_unlike_versions_share_a_cache(upstream, cache, monkeypatch):
    """Each finds what it has made, however often the other one is used in between."""
    decodings, decode = [], decoded.decode
    monkeypatch.setattr(decoded, "decode", lambda *a: (decodings.append(a[0]), decode(*a)))
    indexes = []
    for version in (1, 2, 1, 2):
        monkeypatch.setattr(decoded, "FORMAT", version)
        indexes.append(fetch.fetch_corpus("speech"))
    assert indexes[:2] == indexes[2:] == decodings and len({*indexes}) == 2
    arrays = [json.loads(each.read_text())["samples"] for each in indexes]
    assert {*arrays} == {each.name for each in (cache / "corpora").glob("*.npy")}


@pytest.mark.parametrize("damage", ["parameters", "index", "array"])
def test_a_decoded_corpus_that_does_not_fit_is_made_anew_without_network(upstream, damage):
    index = fetch.fetch_corpus("speech")
    good = json.loads(index.read_text())
    array = index.parent / good["samples"]
    if damage == "parameters":
        other = {**good, "made_with": {**good["made_with"], "rate": 8000}}
        index.write_text(json.dumps(other))
    elif damage == "index":
        index.write_text(index.read_text()[:100])
    else:
        array.write_bytes(array.read_bytes()[:-100])
    upstream.stop()
    assert fetch.fetch_corpus("speech") == index
    assert json.loads(index.read_text()) == good
    assert len(np.load(array)) == good["length"]


def test_an_interruption_while_decoding_leaves_nothing_half_written(upstream, cache, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(decoded.READERS, "speech", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch_corpus("speech")
    assert not (cache / "work").exists()
    assert files(cache / "corpora") == []
    fetch.fetch_corpus("speech")
    assert len(upstream.log) == len(LANGUAGES)  # nothing was downloaded twice


def test_what_a_killed_process_has_unpacked_goes(upstream, cache):
    """Also where it had come to its end but for that."""
    index = fetch.fetch_corpus("speech")
    (cache / "work" / "01").mkdir(parents=True)
    assert fetch.fetch_corpus("speech") == index
    assert not (cache / "work").exists() and len(upstream.log) == len(LANGUAGES)


def test_two_at_once_download_once(upstream):
    failures = []

    def run():
        try:
            fetch.fetch_corpus("speech")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert len(upstream.log) == len(LANGUAGES)


def test_two_processes_at_once_download_once(upstream, cache, tmp_path):
    """Each is held up until the other one has begun, so one of them waits for the lock."""
    begun = [tmp_path / f"begun-{number}" for number in range(2)]
    children = []
    for own in begun:
        if not (child := os.fork()):
            code = 1
            try:
                own.touch()
                while not all(each.exists() for each in begun):
                    time.sleep(0.01)
                index = fetch.fetch_corpus("speech")
                code = 0 if decoded.valid(index, json.loads(index.read_text())["made_with"]) else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert len(upstream.log) == len(LANGUAGES)
    assert len(files(cache / "corpora")) == 2 and not (cache / "work").exists()


def test_empty_and_repeated_recordings_are_dropped(server, cache, tmp_path, monkeypatch):
    recordings = prompts(["b", "a", "silence/1"])
    recordings["copy/of-b.g722"] = recordings["b.g722"]
    recordings["empty.g722"] = b""
    made = package("en", recordings, tmp_path / "en")
    server.files[made.archive] = archive(recordings)
    monkeypatch.setattr(fetch, "CORPORA", {"speech": (made,)})
    monkeypatch.setenv("DENOISE_MIRROR", server.url)
    names = [clip.name for clip in corpora.open_speech(fractions=(1, 0, 0)).clips]
    assert names == ["en/a", "en/b"]


def test_a_cache_that_cannot_be_written_is_one_line(upstream, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("speech")
    one_line(caught, "DENOISE_DATA")


# --- apt ---------------------------------------------------------------------------------------


@pytest.fixture
def apt(cache, tmp_path, monkeypatch):
    """A stand-in for apt-get, first on the PATH; its `download` runs the given shell line."""
    calls = tmp_path / "calls"

    def install(download, update="", archives=""):
        script = tmp_path / "bin" / "apt-get"
        script.parent.mkdir(exist_ok=True)
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {calls}\nlast=\nfor last; do :; done\ncase "$*" in\n'
            f"*update) {update or ':'} ;;\n*indextargets*) {archives or ':'} ;;\n"
            f"*) {download} ;;\nesac\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        return calls

    return install


STREET = default_corpora.STREET[0]


@pytest.fixture(scope="session")
def street_deb(street):
    """The real package file of the city recordings; opening `street` has fetched it."""
    return fetch.cache_folder() / "packages" / STREET.deb


def test_apt_is_asked_as_any_user_may(street_deb, apt, cache):
    calls = apt(f"cp {street_deb} .")
    fetch.fetch_corpus("street")
    update, get = calls.read_text().splitlines()
    assert update.endswith(" update")
    assert get.endswith(f" download {STREET.name}={STREET.version}")
    for call in (update, get):  # lists and caches of its own: the system's need root
        assert re.search(r"Dir::State::lists=(\S+)", call)[1].startswith(str(cache))
        assert re.search(r"Dir::Cache=(\S+)", call)[1].startswith(str(cache))
    assert files(cache / "packages") == [STREET.deb]


def test_wrong_checksum_is_one_line(apt, cache, street_deb):
    apt(f'cp {street_deb} . && printf x >> "$(ls *.deb)"')
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("street")
    one_line(caught, STREET.deb, "wrong checksum", STREET.sha256[:16])
    assert files(cache) == [f"{STREET.deb}.bad", "lock"]


@pytest.mark.parametrize("step", ["update", "download"])
def test_what_apt_complains_about_is_said(apt, cache, step):
    complaint = "echo 'W: unimportant' >&2; echo 'E: Unable to reach the mirror' >&2; exit 100"
    apt(**{"download": ":", step: complaint})
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("street")
    one_line(caught, "E: Unable to reach the mirror", STREET.deb, "by hand")
    assert "unimportant" not in str(caught.value)
    assert files(cache) == ["lock"]


def test_upstream_steps_in_where_apt_fails(apt, upstream, monkeypatch):
    apt("echo 'E: Unable to locate package' >&2; exit 100")
    monkeypatch.delenv("DENOISE_MIRROR")
    monkeypatch.setattr(default_corpora, "UPSTREAM", upstream.url)
    fetch.fetch_corpus("speech")
    assert len(upstream.log) == len(LANGUAGES)


def test_a_package_of_another_release_comes_from_the_archive_that_apt_uses(
    apt, server, cache, street_deb
):
    pool = STREET.pool.removeprefix("pool/")
    server.files[Path(pool).name] = street_deb.read_bytes()
    apt("echo 'E: No such version' >&2; exit 100", archives=f"echo {server.url}/no/ {server.url}/")
    fetch.fetch_corpus("street")
    assert server.paths[-1] == f"/releases/pool/{pool}"
    assert files(cache / "packages") == [STREET.deb]


def test_without_apt_the_distributions_past_packages_are_asked(
    server, cache, monkeypatch, street_deb
):
    """The path is where Debian 12's own lists say that the package lies."""
    pool = "pool/main/l/lincity-ng/lincity-ng-data_2.9~git20150314-5_all.deb"
    server.files[Path(pool).name] = street_deb.read_bytes()
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    monkeypatch.setattr(default_corpora, "PAST_PACKAGES", server.url)
    fetch.fetch_corpus("street")
    assert server.paths == [f"/releases/{pool}"]
    assert files(cache / "packages") == [STREET.deb]


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("festvox-ru", "f/festvox-ru/festvox-ru_0.5+dfsg-6_all.deb"),
        ("ktuberling-data", "k/ktuberling/ktuberling-data_22.12.3-1_all.deb"),
        ("ufoai-sound", "u/ufoai-music/ufoai-sound_2.5-2_all.deb"),
        ("unknown-horizons", "u/unknown-horizons/unknown-horizons_2019.1-6_all.deb"),
        (
            "asterisk-core-sounds-en-g722",
            "a/asterisk-core-sounds/asterisk-core-sounds-en-g722_1.6.1-1_all.deb",
        ),
        (
            "pocketsphinx-testdata",
            "p/pocketsphinx/pocketsphinx-testdata_0.8+5prealpha+1-15_all.deb",
        ),
    ],
)
def test_where_past_packages_lie(name, pool):
    """As `apt-cache show` says on Debian 12: without epochs, under the name of the source."""
    every = [package for corpus in fetch.CORPORA.values() for package in corpus]
    assert {each.pool for each in every if each.name == name} == {f"pool/main/{pool}"}


def test_the_next_source_steps_in_for_a_wrong_file(apt, server, cache, monkeypatch, street_deb):
    apt('echo no package > "lincity-ng-data_1_all.deb"')
    server.files[Path(STREET.pool).name] = street_deb.read_bytes()
    monkeypatch.setattr(default_corpora, "PAST_PACKAGES", server.url)
    fetch.fetch_corpus("street")
    assert files(cache / "packages") == [STREET.deb, f"{STREET.deb}.bad"]


def test_where_no_source_has_it_all_reasons_are_said(cache, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    with pytest.raises(UserError) as caught:
        fetch.fetch_corpus("street")
    one_line(caught, "no apt-get", "127.0.0.1:9", "refused", STREET.deb, str(cache / "packages"))


def test_a_package_put_in_place_by_hand_is_used(cache, monkeypatch, street_deb):
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    (cache / "packages").mkdir(parents=True)
    shutil.copy(street_deb, cache / "packages")
    index = json.loads(fetch.fetch_corpus("street").read_text())
    assert "TraficHigh1" in [clip["name"] for clip in index["clips"]]


def test_something_else_called_deb_is_refused(tmp_path):
    path = tmp_path / "lincity.deb"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UserError, match="not a Debian package"):
        unpack.recordings(STREET, path, tmp_path)


def test_packages_are_pinned():
    every = default_corpora.SPEECH + default_corpora.STREET + default_corpora.READ
    assert len(every) == 7
    for item in every:
        assert re.fullmatch("[0-9a-f]{64}", item.sha256)
        assert re.fullmatch("[0-9a-f]{64}", item.content)
        assert item.credit
    assert len({item.sha256 for item in every}) == len({item.content for item in every}) == 7


def test_cache_folder_is_the_users_own(monkeypatch):
    monkeypatch.delenv("DENOISE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert fetch.cache_folder().name == "denoise_lib"
    monkeypatch.setenv("DENOISE_DATA", "~/corpora")
    assert fetch.cache_folder() == Path.home() / "corpora"
