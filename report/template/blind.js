// The blind test. A and B are two versions of a clip. ABX: X is one of them, drawn anew for each trial,
// and the listener says which. Preference: A and B change places by chance, and the listener says which
// is better. All of it stays in the page.
(() => {
  "use strict";
  const root = document.querySelector("#blind-test");
  if (!root || !window.denoisePlayers) return;
  const { FADE, Transport, players, haltOthers, soundSource, decodedAt } = window.denoisePlayers;
  const { loudness } = window.denoiseMeasures;
  const STEP = 0.5;  // seconds per arrow key

  // What a reader wants to know; asked where the page has the sounds.
  const QUESTIONS = [
    { words: "Is zeroing audible?", kind: "abx", condition: "zero", pair: ["clean", "noisy"] },
    { words: "After zeroing and raising, can you tell what “repair” gives back from clean speech?", kind: "abx", condition: "both", pair: ["clean", "repair"] },
    { words: "On the street, do you prefer RNNoise or “speech”?", kind: "preference", condition: "street", pair: ["RNNoise", "speech"] },
  ];
  const ANSWERS = { abx: ["X is A", "X is B"], preference: ["A is better", "B is better"] };

  // An integer below n, each as likely, from the browser's cryptographic generator.
  function draw(n) {
    const word = new Uint32Array(1);
    const limit = 2 ** 32 - (2 ** 32 % n);
    do crypto.getRandomValues(word); while (word[0] >= limit);
    return word[0] % n;
  }

  // Chance of `right` or more correct answers in `trials` by guessing: the upper tail of a fair binomial.
  function chance(right, trials) {
    let sum = 0, term = 2 ** -trials;  // of no success
    for (let k = 0; k <= trials; k++) {
      if (k >= right) sum += term;
      term *= (trials - k) / (k + 1);
    }
    return Math.min(sum, 1);
  }

  // Chance of such a split between two that are liked equally, or a more uneven one.
  const uneven = (one, trials) => Math.min(1, 2 * chance(Math.max(one, trials - one), trials));

  // Gains that make sounds equally loud, as the softest one is; 1 for silence.
  const known = new Map();
  async function equallyLoud(sounds) {
    const levels = await Promise.all(sounds.map(async (sound) => {
      if (!known.has(sound.key)) known.set(sound.key, loudness(await decodedAt(sound, 48_000)));
      return known.get(sound.key);
    }));
    const softest = Math.min(...levels.filter(Number.isFinite));
    return levels.map((level) => (Number.isFinite(level) ? 10 ** ((softest - level) / 20) : 1));
  }

  const written = (p) => (p < 0.0001 ? "below 0.0001" : p.toFixed(p < 0.1 ? 4 : 2));

  // Every switch goes down to silence and up again, also from a sound to the same one: otherwise the
  // switch itself would tell.
  class BlindTransport extends Transport {
    select(index) {
      this.selected = index;
      const now = this.context?.currentTime;
      this.voices.forEach((voice, i) => {
        this.fade(voice, 0);
        voice.level = this.level(i);
        voice.gain.gain.setValueAtTime(0, now + FADE);
        voice.gain.gain.linearRampToValueAtTime(voice.level, now + 2 * FADE);
      });
      this.changed();
    }
  }

  // Clips of the page's players, each set of sounds once: {title, seconds, sounds: {name: {key, source}}}.
  function clips() {
    const found = new Map();
    for (const clip of window.denoiseMatrix?.clips() ?? []) found.set(clip.title, clip);
    for (const player of document.querySelectorAll(".player")) {
      if (!player.querySelector("[data-sound]")) continue;  // made by the page, of sounds that are elsewhere
      const sounds = {};
      for (const version of player.querySelectorAll(".player-version")) {
        const { sound: key } = version.querySelector("[data-sound]").dataset;
        sounds[version.querySelector("figcaption").textContent] = { key, get source() { return soundSource(version, key); } };
      }
      const number = player.closest(".notebook")?.querySelector("h2 .order").textContent.trim();
      const title = (number ? `${number}. ` : "") + player.querySelector(".player-title").textContent;
      const identity = Object.values(sounds).map(({ key }) => key).sort().join();
      if (Object.keys(sounds).length < 2 || found.has(identity)) continue;
      found.set(identity, { title, seconds: Number(player.dataset.seconds), sounds });
    }
    return [...found.values()];
  }

  class BlindTest {
    constructor() {
      this.draw = draw;  // a test may put its own in place
      this.clips = clips();
      this.part = (name) => root.querySelector(`[data-part="${name}"]`);
      this.listen = ["a", "b", "x"].map(this.part);
      this.trials = [];
      this.fill();
      this.wire();
      this.setUp();
    }

    // ---- Set-up: which clips, which two versions

    fill() {
      const has = ({ condition, pair }) => this.clips.some((clip) => clip.condition === condition && pair.every((name) => name in clip.sounds));
      this.questions = QUESTIONS.filter(has);
      this.part("question").append(...this.questions.map(({ words }, index) => new Option(words, index)), new Option("A comparison of your own", "own"));
      this.part("clip").append(...this.clips.map(({ title }, index) => new Option(title, index)));
      this.names();
    }

    get question() { return this.questions[this.part("question").value] ?? null; }

    get kind() { return this.question?.kind ?? this.part("kind").value; }

    get chosen() {
      if (this.question) return this.clips.filter(({ condition }) => condition === this.question.condition);
      const { value } = this.part("clip");
      return value === "any" ? this.clips : [this.clips[value]];
    }

    // Versions of the chosen clips; B is offered what can be heard beside A.
    names() {
      for (const label of root.querySelectorAll("[data-own]")) label.hidden = Boolean(this.question);
      if (this.question) return;
      const all = [...new Set(this.chosen.flatMap(({ sounds }) => Object.keys(sounds)))];
      this.options("version-a", all, ["clean"]);
      const a = this.part("version-a").value;
      const beside = this.chosen.filter(({ sounds }) => a in sounds).flatMap(({ sounds }) => Object.keys(sounds));
      this.options("version-b", [...new Set(beside)].filter((name) => name !== a), ["DCUnet", "noisy"]);
    }

    options(part, names, preferred) {
      const select = this.part(part), before = select.value;
      select.replaceChildren(...names.map((name) => new Option(name)));
      select.value = [before, ...preferred].find((name) => names.includes(name)) ?? names[0];
    }

    wire() {
      for (const part of ["question", "kind", "clip", "version-a", "version-b", "match"]) {
        this.part(part).addEventListener("change", () => { this.names(); this.setUp(); });
      }
      this.part("planned").addEventListener("change", () => this.show());
      this.listen.forEach((button, index) => button.addEventListener("click", () => this.hear(index)));
      this.part("play").addEventListener("click", () => this.toggle());
      this.part("position").addEventListener("input", () => this.transport.seek(Number(this.part("position").value)));
      this.part("is-a").addEventListener("click", () => this.answer(0));
      this.part("is-b").addEventListener("click", () => this.answer(1));
      this.part("again").addEventListener("click", () => { this.setUp(); this.part("question").focus(); });
      this.part("copy").addEventListener("click", () => this.copy());
      this.part("export").addEventListener("click", () => this.export());
      root.addEventListener("keydown", (event) => this.key(event));
    }

    setUp() {
      this.trials = [];
      this.pair = this.question?.pair ?? ["version-a", "version-b"].map((part) => this.part(part).value);
      this.matched = this.part("match").checked;
      this.next();
    }

    get over() { return this.trials.length >= Number(this.part("planned").value); }

    // ---- A trial

    next() {
      this.transport?.halt();
      const fitting = this.chosen.filter(({ sounds }) => this.pair.every((name) => name in sounds));
      this.clip = fitting[this.draw(fitting.length)];
      const x = this.draw(2), abx = this.kind === "abx";
      // In a test of preference, x says whether the two have changed places.
      this.order = abx || x === 0 ? this.pair : [...this.pair].reverse();
      const sounds = this.order.map((name) => this.clip.sounds[name]);
      if (abx) sounds.push(sounds[x]);
      this.isX = (index) => index === x;
      this.listened = new Set();
      const transport = new BlindTransport(sounds, this.clip.seconds, () => this.show());
      this.transport = transport;
      transport.loop = true;
      this.ready = this.matched ? equallyLoud(sounds).then((gains) => transport.setGains(gains)) : null;
      this.part("position").max = this.clip.seconds;
      this.show();
    }

    async toggle() {
      if (this.transport.playing) { this.transport.halt(); return; }
      haltOthers(this);
      const { transport } = this;
      this.listened.add(transport.selected);
      try {
        await this.ready;
        await transport.play();
      } catch (error) {
        console.error(error);
        transport.halt();
        this.say("This browser cannot decode the sounds.");
      }
    }

    // What must have been listened to before an answer counts.
    get heard() { return (this.kind === "abx" ? [2] : [0, 1]).every((index) => this.listened.has(index)); }

    hear(index) {
      if (index >= this.transport.sounds.length) return;
      this.listened.add(index);
      this.transport.select(index);
      if (!this.transport.playing) this.toggle();
    }

    answer(index) {
      if (this.over) return;
      const [a, b] = this.pair, abx = this.kind === "abx";
      if (!this.heard) { this.say(abx ? "Listen to X first." : "Listen to both first."); return; }
      const right = abx ? this.isX(index) : null, answer = this.order[index];
      const x = abx ? (right === (index === 0) ? a : b) : "";
      this.trials.push({ clip: this.clip.title, a, b, x, answer, right });
      this.next();
      this.part(this.over ? "copy" : "a").focus();
    }

    // ---- What is seen

    // Right answers, or of a preference those for the first of the two.
    get right() { return this.trials.filter(({ right, answer }) => right ?? answer === this.pair[0]).length; }

    chance(right, trials) { return this.kind === "abx" ? chance(right, trials) : uneven(right, trials); }

    say(text) { this.part("status").textContent = text; }

    show() {
      const { transport, trials, over } = this;
      if (!transport) return;
      this.listen.forEach((button, index) => button.setAttribute("aria-pressed", String(transport.selected === index)));
      this.part("play").textContent = transport.playing ? "pause" : "play";
      for (const part of ["question", "kind", "clip", "version-a", "version-b", "planned", "match"]) this.part(part).disabled = trials.length > 0;
      for (const part of ["is-a", "is-b"]) this.part(part).setAttribute("aria-disabled", String(over || !this.heard));
      const abx = this.kind === "abx", [a, b] = this.pair;
      ANSWERS[this.kind].forEach((words, index) => { this.part(["is-a", "is-b"][index]).textContent = words; });
      this.part("x").hidden = !abx;
      this.part("names").textContent = abx ? `A is ${a}, B is ${b}: ${this.clip.title}` : `One is ${a}, the other ${b}; they change places by chance: ${this.clip.title}`;
      this.part("needed").textContent = this.needed();
      this.part("results").hidden = !over;
      if (this.shown !== trials.length || !trials.length) this.count();
      this.follow();
    }

    // How clear a result must be.
    needed() {
      const planned = Number(this.part("planned").value), counts = [...Array(planned + 1).keys()];
      const least = counts.find((count) => 2 * count >= planned && this.chance(count, planned) < 0.05);
      return least === undefined
        ? `${planned} trials are too few to show anything here.`
        : `${least} of ${planned} ${this.kind === "abx" ? "right answers" : "answers for one of the two"} have a p-value below 0.05.`;
    }

    count() {
      const { trials, right, over } = this, planned = this.part("planned").value, abx = this.kind === "abx";
      this.shown = trials.length;
      this.say(over ? `Done. ${this.outcome()}` : `Trial ${trials.length + 1} of ${planned}.`);
      this.part("counted").textContent = abx ? "right" : `for ${this.pair[0]}`;
      this.part("right").textContent = `${right} of ${trials.length}`;
      this.part("p").textContent = written(this.chance(right, trials.length));
      this.part("share").value = over ? this.shared() : "";
      this.part("log").replaceChildren(...trials.map((trial, index) => {
        const row = document.createElement("tr");
        const texts = [index + 1, trial.clip, trial.x || "–", trial.answer, trial.right === null ? "–" : trial.right ? "right" : "wrong"];
        for (const text of texts) row.insertCell().textContent = text;
        return row;
      }));
    }

    outcome() {
      const { trials: { length }, right, pair: [a, b] } = this, clear = this.chance(right, length) < 0.05;
      if (this.kind === "abx") return `${clear ? "You hear a difference" : "No difference shown"}: ${right} of ${length} right.`;
      const [liked, times] = 2 * right >= length ? [a, right] : [b, length - right];
      return `${clear ? `You prefer ${liked}` : "No preference shown"}: ${liked} in ${times} of ${length}.`;
    }

    // The result as somebody would tell it.
    shared() {
      const [a, b] = this.pair, p = written(this.chance(this.right, this.trials.length));
      const question = this.question?.words ?? (this.kind === "abx" ? `Can you tell ${a} from ${b}?` : `Do you prefer ${a} or ${b}?`);
      return `${question} ${this.outcome()} p ${p.startsWith("below") ? p : `= ${p}`}; blind, ${a} against ${b}, ${this.matched ? "equally loud (ITU-R BS.1770)" : "as loud as they are"}. From “${document.title}”.`;
    }

    async copy() {
      const field = this.part("share");
      field.select();
      const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false) ?? false;
      if (copied || document.execCommand("copy")) this.part("copy").textContent = "copied";
      setTimeout(() => { this.part("copy").textContent = "copy result"; }, 2000);
    }

    follow() {
      const { transport } = this;
      this.part("position").value = transport.position;
      this.part("position").setAttribute("aria-valuetext", `${transport.position.toFixed(1)} of ${transport.seconds.toFixed(1)} seconds`);
      if (transport.playing) requestAnimationFrame(() => { if (transport === this.transport) this.follow(); });
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, summary")) return;
      const { transport } = this;
      const actions = {
        a: () => this.hear(0), b: () => this.hear(1), x: () => this.hear(2),
        1: () => this.answer(0), 2: () => this.answer(1),
        ArrowLeft: () => transport.seek(transport.position - STEP),
        ArrowRight: () => transport.seek(transport.position + STEP),
        " ": !event.target.closest("button") && (() => this.toggle()),
      };
      const action = actions[event.key.length > 1 ? event.key : event.key.toLowerCase()];
      if (!action) return;
      action();
      event.preventDefault();
    }

    // ---- Export

    csv() {
      let right = 0;
      const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
      const lines = this.trials.map((trial, index) => {
        right += trial.right ?? trial.answer === this.pair[0];
        const words = [trial.clip, trial.a, trial.b, trial.x, trial.answer].map(quoted);
        return [index + 1, ...words, trial.right === null ? "" : Number(trial.right), right, this.chance(right, index + 1), Number(this.matched)].join();
      });
      const counted = this.kind === "abx" ? "right_so_far" : "for_a_so_far";
      return [`trial,clip,a,b,x,answer,right,${counted},p_value,equally_loud`, ...lines].join("\r\n") + "\r\n";
    }

    export() {
      const link = Object.assign(document.createElement("a"), { download: "blind-test.csv" });
      link.href = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }
  }

  root.querySelector("[data-part=needs]").hidden = true;
  root.querySelector(".blind").hidden = false;
  root.blindTest = new BlindTest();
  Object.assign(root.blindTest, { tail: chance });
  players.add(root.blindTest);
})();
