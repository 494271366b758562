// The blind test: ABX. A and B are two versions of a clip, X is one of them, drawn anew for each
// trial; the listener says which. All of it stays in the page.
(() => {
  "use strict";
  const root = document.querySelector("#blind-test");
  if (!root || !window.denoisePlayers) return;
  const { FADE, Transport, players, haltOthers, soundSource } = window.denoisePlayers;
  const STEP = 0.5;  // seconds per arrow key

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
    for (const player of document.querySelectorAll(".player")) {
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
      this.part("clip").append(...this.clips.map(({ title }, index) => new Option(title, index)));
      this.names();
    }

    get chosen() {
      const { value } = this.part("clip");
      return value === "any" ? this.clips : [this.clips[value]];
    }

    // Versions of the chosen clips; B is offered what can be heard beside A.
    names() {
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
      for (const part of ["clip", "version-a", "version-b"]) {
        this.part(part).addEventListener("change", () => { this.names(); this.setUp(); });
      }
      this.part("planned").addEventListener("change", () => this.show());
      this.listen.forEach((button, index) => button.addEventListener("click", () => this.hear(index)));
      this.part("play").addEventListener("click", () => this.toggle());
      this.part("position").addEventListener("input", () => this.transport.seek(Number(this.part("position").value)));
      this.part("is-a").addEventListener("click", () => this.answer(0));
      this.part("is-b").addEventListener("click", () => this.answer(1));
      this.part("again").addEventListener("click", () => { this.setUp(); this.part("clip").focus(); });
      this.part("export").addEventListener("click", () => this.export());
      root.addEventListener("keydown", (event) => this.key(event));
    }

    setUp() {
      this.trials = [];
      this.pair = ["version-a", "version-b"].map((part) => this.part(part).value);
      this.next();
    }

    get over() { return this.trials.length >= Number(this.part("planned").value); }

    // ---- A trial

    next() {
      this.transport?.halt();
      const fitting = this.chosen.filter(({ sounds }) => this.pair.every((name) => name in sounds));
      this.clip = fitting[this.draw(fitting.length)];
      const sounds = this.pair.map((name) => this.clip.sounds[name]);
      const x = this.draw(2);
      this.isX = (index) => index === x;
      this.heard = false;
      this.transport = new BlindTransport([...sounds, sounds[x]], this.clip.seconds, () => this.show());
      this.transport.loop = true;
      this.part("position").max = this.clip.seconds;
      this.show();
    }

    async toggle() {
      if (this.transport.playing) { this.transport.halt(); return; }
      haltOthers(this);
      this.heard ||= this.transport.selected === 2;
      await this.transport.play().catch((error) => {
        console.error(error);
        this.transport.halt();
        this.say("This browser cannot decode the sounds.");
      });
    }

    hear(index) {
      this.heard ||= index === 2;
      this.transport.select(index);
      if (!this.transport.playing) this.toggle();
    }

    answer(index) {
      if (this.over) return;
      if (!this.heard) { this.say("Listen to X first."); return; }
      const right = this.isX(index);
      const [a, b] = this.pair;
      this.trials.push({ clip: this.clip.title, a, b, x: right === (index === 0) ? a : b, answer: this.pair[index], right });
      this.next();
      this.part(this.over ? "export" : "a").focus();
    }

    // ---- What is seen

    get right() { return this.trials.filter(({ right }) => right).length; }

    say(text) { this.part("status").textContent = text; }

    show() {
      const { transport, trials, over } = this;
      if (!transport) return;
      this.listen.forEach((button, index) => button.setAttribute("aria-pressed", String(transport.selected === index)));
      this.part("play").textContent = transport.playing ? "pause" : "play";
      for (const part of ["clip", "version-a", "version-b", "planned"]) this.part(part).disabled = trials.length > 0;
      for (const part of ["is-a", "is-b"]) this.part(part).setAttribute("aria-disabled", String(over || !this.heard));
      this.part("names").textContent = `A is ${this.pair[0]}, B is ${this.pair[1]}: ${this.clip.title}`;
      this.part("results").hidden = !trials.length;
      if (this.shown !== trials.length || !trials.length) this.count();
      this.follow();
    }

    count() {
      const { trials, right, over } = this, planned = this.part("planned").value;
      this.shown = trials.length;
      const last = trials.length ? `${trials.at(-1).right ? "Right" : "Wrong"}: X was ${trials.at(-1).x}. ` : "";
      const p = chance(right, trials.length);
      this.say(!trials.length ? `Trial 1 of ${planned}.`
        : over ? `${last}Done. ${p < 0.05 ? "You hear a difference" : "No difference shown"}: ${right} of ${trials.length} right.`
        : `${last}Trial ${trials.length + 1} of ${planned}.`);
      this.part("right").textContent = `${right} of ${trials.length}`;
      this.part("p").textContent = written(p);
      this.part("log").replaceChildren(...trials.map((trial, index) => {
        const row = document.createElement("tr");
        const texts = [index + 1, trial.clip, trial.x, trial.answer, trial.right ? "right" : "wrong"];
        for (const text of texts) row.insertCell().textContent = text;
        return row;
      }));
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
        right += trial.right;
        const words = [trial.clip, trial.a, trial.b, trial.x, trial.answer].map(quoted);
        return [index + 1, ...words, Number(trial.right), right, chance(right, index + 1)].join();
      });
      return ["trial,clip,a,b,x,answer,right,right_so_far,p_value", ...lines].join("\r\n") + "\r\n";
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
  root.blindTest.chance = chance;
  players.add(root.blindTest);
})();
