"""What the default corpora are made of: packages, their digests, voices, recordings left out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One package of recordings.

    Attributes:
        name: Name of the Debian package.
        version: Its version.
        sha256: Digest of the package file.
        folder: Where its recordings lie inside it.
        suffix: The one of the recordings' file names.
        content: Digest over the recordings themselves, whatever they came packed in
            (``unpack.content``).
        archive: Upstream's own release of the same recordings, for systems without apt; None where
            upstream has none that is known to hold the same files.
        prefix: Put before the name of each recording, to tell languages apart.
        credit: Who made the recordings, and their licence.
        inside: Suffix of the recordings where files with ``suffix`` are archives that hold them;
            they are then in a folder with the archive's name, without its suffix.
        source: Name of the source package, where it is another one.
    """

    name: str
    version: str
    sha256: str
    folder: str
    suffix: str
    content: str
    archive: str | None = None
    prefix: str = ""
    credit: str = ""
    inside: str = ""
    source: str = ""

    @property
    def recordings(self) -> str:
        """Suffix of the recordings once they are unpacked."""
        return self.inside or self.suffix

    @property
    def deb(self) -> str:
        """File name of the Debian package."""
        return f"{self.name}_{self.version}_all.deb"

    @property
    def pool(self) -> str:
        """Where the package file lies in Debian's archive; epochs are in no name of a file."""
        source = self.source or self.name
        first = source[:4] if source.startswith("lib") else source[0]
        version = self.version.partition(":")[2] or self.version
        return f"pool/main/{first}/{source}/{self.name}_{version}_all.deb"


# Debian keeps every package that it ever had: here those that it had soon after Debian 13 came out.
PAST_PACKAGES = "https://snapshot.debian.org/archive/debian/20251001T000000Z"

# Where upstream keeps its release archives; DENOISE_MIRROR names another place.
UPSTREAM = "https://downloads.asterisk.org/pub/telephony/sounds/releases"


def _prompts(language: str, folder: str, sha256: str, content: str, credit: str) -> Package:
    return Package(
        name=f"asterisk-core-sounds-{language}-g722",
        version="1.6.1-1",
        sha256=sha256,
        folder=f"usr/share/asterisk/sounds/{folder}",
        suffix=".g722",
        content=content,
        archive=f"asterisk-core-sounds-{language}-g722-1.6.1.tar.gz",
        prefix=f"{language}/",
        credit=credit,
        source="asterisk-core-sounds",
    )


SPEECH = (
    _prompts(
        "en",
        "en_US_f_Allison",
        "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
        "1398caaf18868b36770205db12797357a533aa54f81cdad914682c74a72465ab",
        "Allison Smith, CC BY-SA 3.0",
    ),
    _prompts(
        "es",
        "es_MX_f_Allison",
        "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
        "ff431c0eb26a71ec5864aa4e4e876ea506fc3345c8b22f6a74feb94c899a66d8",
        "Allison Smith, CC BY-SA 3.0",
    ),
    _prompts(
        "fr",
        "fr_CA_f_June",
        "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
        "23b41f2cca34509ce95f1232ec47428a8e81f3580da3fffe925ddfe3cae414b5",
        "June Wallack, CC BY-SA 3.0",
    ),
    _prompts(
        "it",
        "it_IT_m_Carlo",
        "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
        "0384bbee89208d135cb2fa0e72f05f027bc1d4b339d0640e93e5c453e07e2e8e",
        "Carlo Flora, CC BY 3.0",
    ),
    _prompts(
        "ru",
        "ru_RU_f_IvrvoiceRU",
        "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
        "db68af28d9c65d988f316523c7227767dfc46306d91bdc86b9eb126c76eb9792",
        "provided by Maxim Topal (ivrvoice.ru), CC BY 3.0",
    ),
)

STREET = (
    Package(
        name="lincity-ng-data",
        version="2.9~git20150314-5",
        sha256="8f5e85bd42879abdc7099b035d7a3d7468eceb6b93b52a12270c28f3f3c792f9",
        folder="usr/share/games/lincity-ng/sounds",
        suffix=".wav",
        content="cae11d90fa8db51fa1aba47cc0bdd38015c3542147a99f3bec791ce00dbd5ff7",
        credit="the LinCity-NG authors, GPL-2+ or CC BY-SA 2.0",
        source="lincity-ng",
    ),
)

# Read speech from another studio, to score on and never to train on: five sentences.
READ = (
    Package(
        name="pocketsphinx-testdata",
        version="0.8+5prealpha+1-15",
        sha256="eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
        folder="usr/share/pocketsphinx/test/data/librivox",
        suffix=".wav",
        content="62d9ae6a38ac46aede0d9d04cc9b881d381e85806e8d3321373c7635e57045cc",
        credit="a LibriVox reading of Jane Austen, public domain, from PocketSphinx's test data",
        source="pocketsphinx",
    ),
)

# Who speaks which language. English and Spanish are one person.
VOICES = {"en": "allison", "es": "allison", "fr": "june", "it": "carlo", "ru": "ru"}

# The voice that training never hears. The only man is needed in training, and Allison speaks two
# languages, so it is the Russian one: a new voice and a new language at once.
UNSEEN_VOICES = {"ru"}

# No speech: tones of the telephone system, and sixteen seconds of screaming monkeys that are the
# same recording in all five packages and so would carry over from training to the unseen voice.
NOT_SPEECH = {
    "ascending-2tone",
    "beep",
    "beeperr",
    "confbridge-join",
    "confbridge-leave",
    "descending-2tone",
    "tt-monkeys",
}

# City recordings used as street noise, by the beginning of their names: what one hears outdoors
# in a town. Left out: the sounds of the program itself (Click, WindowOpen, WindowClose), its events
# (Build, Raze, Rocket, Substation), fires, the countryside (Farm, OrganicFarm, Green, Parkland,
# Water, WindMill), the hum of power lines and solar panels, the tones of machines indoors
# (Health, University) and a potter's workshop.
STREET_KINDS = (
    "Blacksmith",
    "CoalMine",
    "Commune",
    "DirtTrack",
    "FireStation",  # engines and sirens
    "Harbor",
    "Industry",
    "Market",
    "Mill",
    "Monument",  # visitors, and the building site
    "OreMine",
    "PowerCoal",
    "RailTrain",
    "Recycle",
    "Residential",
    "School",
    "Shanty",
    "SportsCroud",
    "Tip",
    "TraficHigh",
    "TraficLow",
)

# Recordings that are one and the same under a second name, and go into one split together. Found
# by looking for every half second of each recording, whitened, in all the others: TraficLow1 lies
# in TraficHigh3, and MonumentConstruction3 in MonumentConstruction2 under other sounds (peaks of
# the correlation of 0.47 and 0.33 at one offset throughout; other pairs have no such offset). The
# three crowds do not overlap but are plainly one stadium: same format, level and spectrum.
SAME_RECORDING = {
    "TraficLow1": "TraficHigh3",
    "MonumentConstruction3": "MonumentConstruction2",
    "SportsCroud2": "SportsCroud1",
    "SportsCroud3": "SportsCroud1",
}

# Prompts under several names that share half a second or more of one take, in some language: cut
# from one sentence, or built from the same words. They go into one split together, under the first
# name. Found by looking for every quarter second of every clip in all other clips of the voice, by
# spectrum first, then sample by sample (correlation above 0.9; different takes of one word reach
# 0.85). Prompts with the same name in different languages are together anyway.
_SHARED_TAKES = (
    ("auth-thankyou", "privacy-thankyou"),
    (
        "conf-adminmenu",
        "conf-adminmenu-162",
        "conf-adminmenu-18",
        "conf-adminmenu-menu8",
        "conf-usermenu",
        "conf-usermenu-162",
    ),
    ("conf-locked", "conf-lockednow"),
    ("confbridge-binaural-off", "confbridge-binaural-on"),
    ("confbridge-mute-extended", "confbridge-mute-out"),
    (
        "confbridge-rest-list-vol-in",
        "confbridge-rest-list-vol-out",
        "confbridge-rest-talk-vol-in",
        "confbridge-rest-talk-vol-out",
    ),
    ("dictate/play_help", "dictate/playback_mode", "dictate/record_help"),
    ("dir-intro", "dir-intro-fn", "dir-usingkeypad", "dir-welcome"),
    ("invalid", "pbx-invalid"),
    ("letters/ascii123", "letters/ascii125"),
    ("lowercase", "uppercase"),
    ("minutes", "vm-minutes"),
    ("please-try-again", "vm-pls-try-again"),
    ("seconds", "queue-seconds", "second-time"),
    ("spy-iax", "spy-iax2"),
    ("vm-incorrect", "vm-incorrect-mailbox"),
    ("vm-message", "vm-messages"),
    ("vm-tempgreeting", "vm-tempgreeting2", "vm-options"),
)
SAME_SENTENCE = {name: names[0] for names in _SHARED_TAKES for name in names}
