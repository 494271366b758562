"""The wide corpora: other people's speech and noise, from packages of Debian 12 and 13.

The default corpora are four studio voices and one game's city. These are some 70 voices in two
dozen languages, in many rooms and through many microphones, and noise and music by many
recordists. Which voices are clean enough to be a target, which are kept out, and what is noise at
all was found by measuring every recording (levels in pauses, clipping, band, pitch) and by its
name.
"""

from __future__ import annotations

import re

from denoise_lib.data.default_corpora import Package

GAMES = "usr/share/games"

# Source packages that are named otherwise than the packages made from them.
SOURCES = {
    "asterisk-moh-opsound-g722": "asterisk-moh-opsound",
    "btanks-data": "btanks",
    "colobot-common-sounds": "colobot",
    "fillets-ng-data-cs": "fillets-ng-data",
    "fillets-ng-data-nl": "fillets-ng-data",
    "hedgewars-data": "hedgewars",
    "klettres-data": "klettres",
    "ktuberling-data": "ktuberling",
    "minetest-data": "minetest",
    "planetblupi-common": "planetblupi",
    "scorched3d-data": "scorched3d",
    "sonic-pi-samples": "sonic-pi",
    "torcs-data": "torcs",
    "tuxpaint-stamps-default": "tuxpaint-stamps",
    "ufoai-sound": "ufoai-music",
    "warzone2100-data": "warzone2100",
    "wesnoth-1.16-data": "wesnoth-1.16",
    "widelands-data": "widelands",
}


def _package(
    prefix: str,
    name: str,
    version: str,
    sha256: str,
    folder: str,
    content: str,
    credit: str,
    suffix: str = ".ogg",
    inside: str = "",
) -> Package:
    return Package(
        name=name,
        version=version,
        sha256=sha256,
        folder=folder,
        suffix=suffix,
        content=content,
        prefix=f"{prefix}/",
        credit=credit,
        inside=inside,
        source=SOURCES.get(name, ""),
    )


TUXPAINT = (
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)
HEDGEWARS = (
    "hedgewars-data",
    "1.0.2-6",
    "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
)
HORIZONS = (
    "unknown-horizons",
    "2019.1-6",
    "ff49ea196d0f57c80d4cd4509c030240cbe632881f8c5b2a1265dd3e3795f100",
)
COLOBOT = (
    "colobot-common-sounds",
    "0.2.0-2",
    "819e799542eac69c95b072567b5584eb3e0b2bb900de13efa3684915747b1644",
)
BTANKS = (
    "btanks-data",
    "0.9.8083-9",
    "fbe1a476d95c68fe73d87715f4f0aecc1bc5428a979cd19451722665c9dbb5ae",
)
WARZONE = (
    "warzone2100-data",
    "4.3.3-3",
    "53ad292569e0bf9d16de1642d13629f29ed5dfb68896787e4c65ac60edc07d3d",
)

SPEECH = (
    _package(
        "tuxpaint",
        *TUXPAINT,
        "usr/share/tuxpaint/stamps",
        "915e8b69a3bfd894161766abbea3304b3b9d750c072a91480cd833195bb52fa5",
        "the Tux Paint developers and translators, GPL-2+",
    ),
    _package(
        "ktuberling",
        "ktuberling-data",
        "4:22.12.3-1",
        "fba44c875bfa31ea488dadd9263e87a4dcaea0bd47d28817f6c0dc6d2af970ed",
        "usr/share/ktuberling/sounds",
        "627ed09bc9588a35da5fdddde537344131f6bc2ac0fc99c96800443e85ae5cec",
        "the KDE translation teams, GPL-2+",
    ),
    _package(
        "klettres",
        "klettres-data",
        "4:22.12.3-1",
        "1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8",
        "usr/share/klettres",
        "ff0d8dab3100923a2d8c3ce29a1827e7e229c09a480e0cdfadb1dfaf6d8a948f",
        "the KLettres authors and the KDE translation teams, GPL-2+",
    ),
    _package(
        "hedgewars",
        *HEDGEWARS,
        f"{GAMES}/hedgewars/Data/Sounds/voices",
        "2fdbf323a0fbe9f0aa2525fea3ff12c3be6f14f5627b9954c10a94fa1a85656d",
        "Andrey Korotaev and the Hedgewars Project, GFDL-1.3",
    ),
    _package(
        "fillets-cs",
        "fillets-ng-data-cs",
        "1.0.1-1.1",
        "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
        f"{GAMES}/fillets-ng/sound",
        "27b3cd0307153743c3c166b406cfa989d91fb97488d6150ca72c2df5ede20a5f",
        "ALTAR interactive, Pavel and Ivo Danihelka, GPL-2+",
    ),
    _package(
        "fillets-nl",
        "fillets-ng-data-nl",
        "1.0.1-1.1",
        "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
        f"{GAMES}/fillets-ng/sound",
        "77d6e1738fdbb67c0c4a5061267f062400c1e6a5c54fa393f031f0781b9b687a",
        "ALTAR interactive, Pavel and Ivo Danihelka, GPL-2+",
    ),
    _package(
        "gcin",
        "gcin-voice",
        "0~20170223-3",
        "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70",
        "usr/share/gcin-voice",
        "44fb57a4ae4202628ba4dc17048e478e30e649235769a600d1c2bd7f98ddc30b",
        "ChionMeilin with the voice of Chu Lo, CC BY 3.0; Edward Der-Hua Liu, LGPL-3",
    ),
    _package(
        "warzone",
        *WARZONE,
        f"{GAMES}/warzone2100",
        "ce6813577815b065f467e474977e1d7b1e8faf931e35a662634affd2e74992bb",
        "Eidos Interactive and the Warzone 2100 Project, GPL-2+",
        suffix=".wz",
        inside=".ogg",
    ),
    _package(
        "planetblupi",
        "planetblupi-common",
        "1.14.2-3",
        "4b0c6381e7f72e44585cb0ae766d33d40627c866dee0b4447c77bbc42df87304",
        "usr/share/planetblupi/sound",
        "8f84ef3ec4576ebb87208d9e6ee9834f3d539fcd9652d720ba6dbf445a8568ba",
        "Daniel Roux and EPSITEC, GPL-3+",
        suffix=".wav",
    ),
    _package(
        "horizons",
        *HORIZONS,
        "usr/share/unknown-horizons/content/audio/voice",
        "52cd98f117c5a75a735f0ff028bbe50a8b21fe1efb79612748fada0b08bb73fa",
        "the Unknown Horizons Team, GPL-2+ and CC BY-SA 3.0",
    ),
    _package(
        "festvox-ru",
        "festvox-ru",
        "0.5+dfsg-6",
        "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4",
        "usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav",
        "f5cf51bcb7d3fa95130327cc19e2c13cd3dd44c753c39785eab47c45760d6650",
        "Nickolay V. Shmyrev, BSD-like",
        suffix=".wav",
    ),
)

NOISE = (
    _package(
        "tuxpaint",
        *TUXPAINT,
        "usr/share/tuxpaint/stamps",
        "915e8b69a3bfd894161766abbea3304b3b9d750c072a91480cd833195bb52fa5",
        "the Tux Paint developers, GPL-2+",
    ),
    _package(
        "hedgewars",
        *HEDGEWARS,
        f"{GAMES}/hedgewars/Data",
        "f569d47ffab17b31af0d1f4698538a9ffe1a24209acafa00f87b7fdf44c0f004",
        "Andrey Korotaev and the Hedgewars Project, GFDL-1.3 and GPL-2",
    ),
    _package(
        "horizons",
        *HORIZONS,
        "usr/share/unknown-horizons/content/audio",
        "f44e3fba0d7727f16b9aa399eac1db7e10b65eec960198bec5d37b16b34f646a",
        "the Unknown Horizons Team, GPL-2+ and CC BY-SA 3.0",
    ),
    _package(
        "warzone",
        *WARZONE,
        f"{GAMES}/warzone2100",
        "ce6813577815b065f467e474977e1d7b1e8faf931e35a662634affd2e74992bb",
        "Eidos Interactive and the Warzone 2100 Project, GPL-2+",
        suffix=".wz",
        inside=".ogg",
    ),
    _package(
        "colobot",
        *COLOBOT,
        f"{GAMES}/colobot/sounds",
        "cb6a377ef231199a2464bc8175e01347181106f4ee549982c7f6038325e02e5b",
        "Daniel Roux, EPSITEC and TerranovaTeam, GPL-3+",
        suffix=".wav",
    ),
    _package(
        "colobot-music",
        *COLOBOT,
        f"{GAMES}/colobot/music",
        "f48d5ba121509c1265e0626c97256811933971f0563cf13b4289f6cc8297057f",
        "Daniel Roux, EPSITEC and TerranovaTeam, GPL-3+",
    ),
    _package(
        "ufoai",
        "ufoai-sound",
        "2.5-2",
        "0224308c10e1265581d1829f19eaef031175390fd0eafeb4a1d558ac6561ed4e",
        f"{GAMES}/ufoai/base",
        "66e8f6cc7b65fc011bdaa56795478c73f4cc13322e19e6bff361a0530e5aabf5",
        "the UFO:AI Team, GPL-2+ and CC BY-SA 3.0",
        suffix=".pk3",
        inside=".ogg",
    ),
    _package(
        "fillets",
        "fillets-ng-data",
        "1.0.1-1.1",
        "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
        f"{GAMES}/fillets-ng",
        "7baac548207891e3a0b1a1aabec775f2678aac26a20ce43aac50a386de15ebed",
        "ALTAR interactive, Pavel and Ivo Danihelka, GPL-2+",
    ),
    _package(
        "moh",
        "asterisk-moh-opsound-g722",
        "2.03-1.1",
        "8d6b39d6f2e8feff54a042c4a25e1b72f3e2478d05ee372c92f77446fa0b1671",
        "usr/share/asterisk/moh",
        "d2fd4223a630d3c1d12bd8bd150d29a260601f97f4226ac31707e1f47e339bde",
        "macroform, Manolo Camp and Reno Project, from opsound.org, CC BY-SA 3.0",
        suffix=".g722",
    ),
    _package(
        "searchandrescue",
        "searchandrescue-data",
        "1.3.0-1.1",
        "0036c09a92a90a2ce4ac3dde026bb90cc306cd1964f24749c0229926ff36d1d3",
        f"{GAMES}/searchandrescue",
        "ce28c368b8a3941fdda80c7f80f573be32f639c7bc1bf13287f2924b4fe4b58a",
        "WolfSpring Studios and others, GPL-2",
        suffix=".wav",
    ),
    _package(
        "sonic-pi",
        "sonic-pi-samples",
        "3.2.2~repack-8",
        "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
        "usr/share/sonic-pi/samples",
        "f7c561ee55228b6e7758a23ca169c5cd2edd268a8307ca56088956ea25878373",
        "contributors to freesound.org, CC0 (each is named in the package)",
        suffix=".flac",
    ),
    _package(
        "minetest",
        "minetest-data",
        "5.6.1+dfsg+~1.9.0mt8+dfsg-2",
        "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        f"{GAMES}/minetest",
        "c7cc9b0269573ce03c804ddb7ece9e4dff7a8ead0de8b8ccfdfe36ebbe00f59a",
        "the Minetest Game authors, CC BY-SA 3.0",
    ),
    _package(
        "scorched3d",
        "scorched3d-data",
        "44+dfsg-8",
        "b0be0a6d561966a62b1f135e0e6f5681c85f12e34ecad5777cb1af9fbcb7f1da",
        f"{GAMES}/scorched3d",
        "034f116058032a902eadd91b596252cff57a782152e52ee51d71e569321b1f0e",
        "Gavin Camp and others, GPL-2+",
        suffix=".wav",
    ),
    _package(
        "simutrans",
        "simutrans-pak64",
        "121.0-1",
        "46c8420e162941e6d87382b43c508b1dbf48015fcd782f0c4425952ba72745cc",
        f"{GAMES}/simutrans/pak/sound",
        "35b749a100b60bb087219ae75efc844b6ebbf32317b947a4ddbca3c768ba12fe",
        "the Simutrans Team, Artistic License",
        suffix=".wav",
    ),
    _package(
        "megaglest",
        "megaglest-data",
        "3.13.0-3",
        "ed4783d9fc78e201a548b266f7c30325eb16cfd58a20bf4597dd6e622f84a07e",
        f"{GAMES}/megaglest/tilesets",
        "3210245111ebd3897ddfb1ec63b64bbf2c28629183c60f3a948ef64fa2da767d",
        "the MegaGlest Team, dobroide and others, CC BY-SA 3.0",
    ),
    _package(
        "btanks",
        *BTANKS,
        f"{GAMES}/btanks/data/sounds",
        "b0386fc80a60e5bb636209e38d646b850eac554fd5ebeed97c0ddd1b6bc0684e",
        "Netive Company and the Battle Tanks developers, GPL-2+",
    ),
    _package(
        "btanks-music",
        *BTANKS,
        f"{GAMES}/btanks/data/tunes",
        "2890ccbd154dd7449d58fdc03b67c2bb225524e29bbf6ca7c78ba2f78b24e387",
        "Netive Company and the Battle Tanks developers, GPL-2+",
    ),
    _package(
        "openttd",
        "openttd-opensfx",
        "1.0.3-2",
        "2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
        f"{GAMES}/openttd/baseset/opensfx",
        "dd89ca7e1328cf235f81f9c1c0f7aa375102e84e1f95f5430afeff63c551bf7d",
        "contributors to OpenSFX 1.0.3, CC0, CC BY and CC BY-SA 3.0",
        suffix=".cat",
        inside=".wav",
    ),
    _package(
        "0ad",
        "0ad-data",
        "0.0.26-1",
        "53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178",
        f"{GAMES}/0ad/mods/public",
        "3a548003460810ff78f88f2a10b6c3c011915ab4db26e0754b8db3e793da4d6b",
        "Wildfire Games, CC BY-SA 3.0",
        suffix=".zip",
        inside=".ogg",
    ),
    _package(
        "ardentryst",
        "ardentryst",
        "1.71-9",
        "7a01180285a4acaa980b18118127c60ac0377f4e2bcd69244b1feb7de5fc566f",
        f"{GAMES}/ardentryst/Sounds",
        "1675b66e7ea1928834bd3f57c48f3d94b8b2c7c7372936b75b7e71a6db364cb6",
        "Kendra Pietruszewski and contributors to freesound.org, CC BY-SA 3.0",
    ),
    _package(
        "blanket",
        "blanket",
        "0.8.0-2",
        "6b5569aa83b0bd91a4c2ceb21a5e420538f678cd605734beee3213fff22b079a",
        "usr/share/blanket",
        "e8d8e0ea42107d42dea22407b85336baeb1dfc2fa6cb38d88caf4c08150fd0d5",
        "contributors to freesound.org and soundbible.com (each is named in the package), CC0, "
        "CC BY and CC BY-SA",
        suffix=".gresource",
        inside=".ogg",
    ),
    _package(
        "flare",
        "flare-game",
        "1.14-1",
        "4ab6a8298276013d35a0806257e130d992761af1b749041433b409c3dafec508",
        f"{GAMES}/flare/mods",
        "c87d381df5ac2abbafdbc0d9071831757f298884a078a9aacaa695cae3231957",
        "Clint Bellanger and others, CC BY-SA 3.0",
    ),
    _package(
        "nexuiz",
        "nexuiz-data",
        "2.5.2-12",
        "5d4a4e293d9382be3b8edf6ec2d9f39d2a16f49467618b2316fbfa400acecf0e",
        f"{GAMES}/nexuiz/data",
        "ad17be08175a758bd3f35062d872ad9706973cb4b81e638f30f08b30e628e252",
        "Alientrap and Lee Vermeulen, GPL-2+",
        suffix=".pk3",
        inside=".ogg",
    ),
    _package(
        "openarena",
        "openarena-data",
        "0.8.5split-14",
        "fa68862434f02a826b7ef22008f25f406623abf4e37113c1bfab5460065483c8",
        f"{GAMES}/openarena",
        "5a76e3ac2a2d36a96867e83bf251592f393c3603c0368ec798ebad065f966f62",
        "the OpenArena contributors, GPL-2+",
        suffix=".pk3",
        inside=".wav",
    ),
    _package(
        "redeclipse",
        "redeclipse-data",
        "1.6.0-1",
        "ada26453d3100bd61154ce20a699352f0b48bb29f8505f477ebdcb612f71ab42",
        f"{GAMES}/redeclipse/data/sounds/ambience",
        "6ac257caaecfd80c0b894b4857f7c0a1dd08e2d87effdd21d4c8d034ca8a6ecd",
        "the Red Eclipse Team, CC BY-SA 3.0",
    ),
    _package(
        "torcs",
        "torcs-data",
        "1.3.7+dfsg-5",
        "33a170ec9db8bdf7e33cb07b96b9854d5ef9e47b1f82705e4c24d6caaf13fb99",
        f"{GAMES}/torcs/data/sound",
        "e99e8abbd123265cdd8686ef55eb28ccde3b6d07ba0fd68384a3de67258091d0",
        "Eric Espié and the TORCS developers, GPL-2+",
        suffix=".wav",
    ),
    _package(
        "wesnoth",
        "wesnoth-1.16-data",
        "1:1.16.9-1",
        "1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26",
        f"{GAMES}/wesnoth/1.16/data/core/sounds",
        "43e62155b8f4a6b0f3ef61f94366a3dc675745ae6bf527052e0bfbb39ee6fb81",
        "David White and the Battle for Wesnoth Project, GPL-2+",
    ),
    _package(
        "widelands",
        "widelands-data",
        "2:1.1-3",
        "0e23d645b15bcfb9e3bcae0de9bc1bdfa75a6ecb36b2e449759d6eb0b4bbd8fb",
        f"{GAMES}/widelands/data/sound",
        "eba746708eec0a982d2168e7c35988b49e19f26fd0ee25af027e88ec579f712f",
        "the Widelands Development Team, GPL-2+",
    ),
)

# The voice of a clip, by the prefix of its package: the volunteer's language, the actor's folder,
# the fish that speaks ("v" is the large one, a man, "m" the small one, a woman), the take, the
# reader.
_VOICE = {
    "tuxpaint": re.compile(r"_(?:desc_)?([a-z]{2}(?:_[A-Z]{2})?)(?:\.ogg)?$"),
    "ktuberling": re.compile(r"^([^/]+)/"),
    "klettres": re.compile(r"^([^/]+)/"),
    "hedgewars": re.compile(r"^([^/]+)/"),
    "fillets-cs": re.compile(r"/cs/[^/]*?-([a-z0-9]+)-[^/]*$"),
    "fillets-nl": re.compile(r"/nl/[^/]*?-([a-z0-9]+)-[^/]*$"),
    "gcin": re.compile(r"/(\d)$"),
    "warzone": re.compile(r"^base/audio/([a-z]+)/"),
    "planetblupi": re.compile(r"^([^/]+)/"),
    "horizons": re.compile(r"^([^/]+)/"),
    "festvox-ru": re.compile(r"^(ru)_\d+$"),
}


def _voices(**names: str) -> frozenset[str]:
    """Voices as "prefix/name" from the names behind each prefix; "_" stands for "-" in a prefix."""
    return frozenset(
        f"{prefix.replace('_', '-')}/{name}"
        for prefix, own in names.items()
        for name in own.split()
    )


# In the median over their clips, loud parts of speech stand 29 dB and more above the softest, and
# they are not clipped. Heard in training:
TRAIN_VOICES = _voices(
    fillets_cs="v m",
    fillets_nl="v m 0 1 2 3 4 5 6",
    hedgewars="British Classic Default Default_es Default_ru Default_uk HillBilly Mobster Pirate "
    "Robot Russian Russian_pl Singer Surfer",
    klettres="cs da en es he it nds ru uk",
    ktuberling="ca da en uk wa sl",
    tuxpaint="be bg ca ru ro",
    planetblupi="he it",
    horizons="fr",
    gcin="5",
    festvox_ru="ru",
    warzone="tutorial countdown extra proxmessages memressp nexus",
)
# Chooses the best weights:
VALID_VOICES = _voices(klettres="de pt_BR", horizons="en de")
# Kept out for the test: by their pitch men (Greek, British, French, Lithuanian) and women (Greek,
# British, Dutch, Norwegian). All volunteers of their languages are kept out, since one may have
# helped two projects. The Dutch one is none of the actors.
UNSEEN_VOICES = _voices(tuxpaint="el lt en_GB", ktuberling="el lt", klettres="lt nl en_GB fr nb")
# Not clean enough for a target, or clipped, or not 16 kHz: tuxpaint's fr, da, es, nl, ml, pt_BR;
# ktuberling's de, fr, ru, gl, sr, fi, nl, pt, es, it, nds, sv; klettres' ar, hu, ml, tn; gcin's 3;
# the fish's guests, radio voices and taunts. They are listed as "unused".


def speech_clip(name: str) -> tuple[str, str] | None:
    """(voice, split) of a clip such as "klettres/de/alpha/a-0"; None if nobody speaks in it."""
    prefix, rest = name.split("/", 1)
    found = _VOICE[prefix].search(rest)
    if not found:
        return None
    voice = f"{prefix}/{found[1]}"
    for split, voices in (
        ("train", TRAIN_VOICES),
        ("valid", VALID_VOICES),
        ("unseen_voice", UNSEEN_VOICES),
    ):
        if voice in voices:
            return voice, split
    return voice, "unused"


# Whole packages, so that what a test clip is mixed with comes from other recordists.
TEST_NOISE = {"scorched3d", "simutrans", "openttd"}
VALID_NOISE = {"minetest"}
MUSIC = " music"  # at the end of a kind of noise

_MUSIC = re.compile(
    r"music|^moh/|guit|loop_(amen|mika|garzul|tabla|breakbeat|compus|industrial|weirdo|electric|mehackit"
    r"|perc|drone)|bass_|drum|cello|violin|bassoon"
)
# Speech, shouts and crowds of actors, single beeps; sounds that the game's program makes itself.
_NO_NOISE = re.compile(
    r"_desc|^tuxpaint/.*_[a-z]{2}(_[a-z]{2})?$|roll-call|/voices?/|/(cs|nl|en|fr|de)/|hogchant|yoohoo|civilians|soldiers"
    r"|/aliens/|tv_news|radiomess|laugh|scream|die\d|deadman|hurt|^warzone/base/(?!audio/sfx)|^warzone/mp/"
    r"|^scorched3d/(?!.*/(misc|movement)/)|^btanks/menu/"
    r"|^0ad/public/audio/(?!ambient/|attack/(fire|siege|destruction)/|actor/(fauna|gate|ship)/)"
    r"|^ardentryst/(?!amb_|rain|fire)|^flare/(?!.*/(environment|powers)/)"
    r"|^nexuiz/(?!.*/(ambient|desertfactory|weather|weapons)/)|^openarena/(?!.*/(world|weapons)/)"
    r"|moan|1shot_greg|wakawaka|^wesnoth/.*(hit|laugh|wail|groan|game)|^widelands/(lobby|message|click)|^torcs/locked"
)
# Held-out recordings that a package of the training has, too, whole or in a mix: found by
# tools/overlap.py, and not used.
_HEARD = re.compile(
    r"^openttd/opensfx/(20|22|36|51|54|72)$|^minetest/.*/(fire_small|env_sounds_lava\.2)$"
    r"|^scorched3d/.*/(birds2|bats2|citysounds|f16_1|factoryloop1|t38|thunder3)$"
)


def noise_clip(name: str) -> tuple[str, str] | None:
    """(kind, split) of a recording such as "scorched3d/data/.../rain"; None where it is no noise.

    The kind is the package that it comes from, followed by " music" for music.
    """
    low = name.lower()
    if _NO_NOISE.search(low) or _HEARD.search(low):
        return None
    package = name.split("/", 1)[0]
    split = "test" if package in TEST_NOISE else "valid" if package in VALID_NOISE else "train"
    return package.removesuffix("-music") + MUSIC * bool(_MUSIC.search(low)), split
