// The comparison player: turns each .player of the document into one instrument.
// Transport plays the versions of a clip in step; Player is what is seen of it.
(() => {
  "use strict";
  if (window.denoisePlayers) { window.denoisePlayers.start(); return; }

  const FADE = 0.005;  // seconds; long enough not to click, short enough to compare
  const STEP = 0.5;    // seconds per arrow key
  const ICONS = {
    play: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1l11 7-11 7z"/></svg>',
    pause: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1h4v14H3zM9 1h4v14H9z"/></svg>',
  };

  let shared = null;  // one context for all players, made on the first play: browsers want a click first
  const decoded = new Map();

  function decode(key, source) {
    if (!decoded.has(key)) {
      const bytes = Uint8Array.from(atob(source.slice(source.indexOf(",") + 1)), (c) => c.charCodeAt(0));
      decoded.set(key, shared.decodeAudioData(bytes.buffer));
    }
    return decoded.get(key);
  }

  // All versions run all the time, in step; only the selected one is let through. So a switch keeps
  // the position to the sample.
  class Transport {
    // sounds: [{key, source}] with source a data URI; seconds: their length; changed: called after
    // every change of state; context: where they sound, by default that of all players.
    constructor(sounds, seconds, changed, context = null) {
      Object.assign(this, { sounds, seconds, changed, context, selected: 0, loop: false, playing: false });
      this.offset = 0;    // position in the clip at context time `started`
      this.started = 0;
      this.turn = 0;      // counts starts and stops, so that a late answer is told from a current one
      this.voices = [];
    }

    get position() {
      if (!this.voices.length) return this.offset;
      const position = this.offset + Math.max(0, this.context.currentTime - this.started);
      return this.loop ? position % this.seconds : Math.min(position, this.seconds);
    }

    async play() {
      if (this.playing) return;
      const turn = ++this.turn;
      this.playing = true;
      this.changed();
      shared ??= new AudioContext({ latencyHint: "interactive" });
      this.context ??= shared;
      const [buffers] = await Promise.all([
        Promise.all(this.sounds.map(({ key, source }) => decode(key, source))),
        this.context.resume(),
      ]);
      if (turn !== this.turn) return;
      if (this.offset >= this.seconds - 0.01) this.offset = 0;
      this.started = this.context.currentTime + 0.01;
      this.voices = buffers.map((buffer, index) => this.voice(buffer, index));
      this.voices[0].source.onended = () => { if (turn === this.turn) this.halt(this.seconds); };
    }

    voice(buffer, index) {
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: this.loop });
      const gain = new GainNode(this.context, { gain: 0 });
      source.connect(gain).connect(this.context.destination);
      source.start(this.started, this.offset);
      const level = Number(index === this.selected);
      gain.gain.setValueAtTime(0, this.started);
      gain.gain.linearRampToValueAtTime(level, this.started + FADE);
      return { source, gain, level };
    }

    // Straight lines that add up to one: the versions are nearly the same signal.
    fade(voice, level) {
      const now = this.context.currentTime;
      voice.gain.gain.cancelScheduledValues(now);
      // From the level it has been sent to: not every browser tells the level it has reached.
      voice.gain.gain.setValueAtTime(voice.level, now);
      voice.gain.gain.linearRampToValueAtTime(level, now + FADE);
      voice.level = level;
    }

    halt(position = this.position) {
      this.turn++;
      for (const voice of this.voices) {
        this.fade(voice, 0);
        voice.source.stop(this.context.currentTime + 2 * FADE);
      }
      this.voices = [];
      this.playing = false;
      this.offset = position;
      this.changed();
    }

    select(index) {
      this.selected = index;
      this.voices.forEach((voice, i) => this.fade(voice, Number(i === index)));
      this.changed();
    }

    seek(position) {
      const playing = this.playing;
      this.halt(Math.min(Math.max(position, 0), this.seconds));
      if (playing) return this.play();
    }

    setLoop(loop) {
      const position = this.position;
      if (this.voices.length) [this.offset, this.started] = [position, this.context.currentTime];
      this.loop = loop;
      for (const { source } of this.voices) source.loop = loop;
      this.changed();
    }
  }

  const clock = (t) => `${Math.floor(t / 60)}:${(t % 60).toFixed(1).padStart(4, "0")}`;

  function element(tag, className, attributes = {}, content = "") {
    const made = document.createElement(tag);
    made.className = className;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.innerHTML = content;
    return made;
  }

  const players = new Set();

  class Player {
    constructor(root) {
      this.root = root;
      this.versions = [...root.querySelectorAll(".player-version")];
      const sounds = this.versions.map((version) => {
        const key = version.querySelector("[data-sound]").dataset.sound;
        return { key, get source() { return soundSource(version, key); } };
      });
      this.transport = new Transport(sounds, Number(root.dataset.seconds), () => this.show());
      this.build();
      root.addEventListener("keydown", (event) => this.key(event));
      root.classList.add("live");
      this.show();
    }

    build() {
      const buttons = element("div", "player-buttons", { role: "group", "aria-label": "version" });
      this.buttons = this.versions.map((version, index) => {
        const button = element("button", "", { type: "button" });
        button.style.setProperty("--version", version.style.getPropertyValue("--version"));
        button.append(version.querySelector("figcaption").textContent);
        if (index < 9) button.append(element("kbd", "", { "aria-hidden": "true" }, String(index + 1)));
        button.addEventListener("click", () => this.transport.select(index));
        buttons.append(button);
        return button;
      });
      this.head = element("div", "player-head");
      this.playButton = element("button", "player-play", { type: "button" });
      this.playButton.addEventListener("click", () => this.toggle());
      this.slider = element("input", "", { type: "range", min: 0, max: this.transport.seconds, step: 0.01, "aria-label": "position" });
      this.slider.addEventListener("input", () => this.transport.seek(Number(this.slider.value)));
      this.time = element("span", "player-time");
      this.loopButton = element("button", "player-loop", { type: "button" }, "loop");
      this.loopButton.addEventListener("click", () => this.transport.setLoop(!this.transport.loop));
      const transport = element("div", "player-transport");
      transport.append(this.playButton, this.slider, this.time, this.loopButton);
      const last = Math.min(9, this.versions.length);
      const keys = element("p", "player-keys", {}, `keys: 1 to ${last} version, space play and pause, arrows half a second, L loop`);
      this.versions[0].before(buttons);
      this.versions.at(-1).after(transport, keys);
      for (const version of this.versions) this.screen(version.querySelector(".player-screen"));
    }

    screen(screen) {
      const seek = (event) => {
        const box = screen.getBoundingClientRect();
        this.transport.seek(((event.clientX - box.left) / box.width) * this.transport.seconds);
      };
      screen.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        screen.setPointerCapture(event.pointerId);
        seek(event);
      });
      screen.addEventListener("pointermove", (event) => {
        if (screen.hasPointerCapture(event.pointerId)) seek(event);
      });
    }

    async toggle() {
      if (this.transport.playing) { this.transport.halt(); return; }
      for (const other of players) if (other.transport.playing) other.transport.halt();
      try {
        await this.transport.play();
      } catch (error) {
        // A browser that cannot decode may still play: give back its own controls.
        console.error(error);
        this.transport.halt();
        this.root.classList.remove("live");
        for (const version of this.versions) version.hidden = false;
      }
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const { transport } = this;
      const onButton = event.target.closest("button");
      const choice = Number(event.key) - 1;
      if (choice >= 0 && choice < this.versions.length) transport.select(choice);
      else if (event.key === "ArrowLeft") transport.seek(transport.position - STEP);
      else if (event.key === "ArrowRight") transport.seek(transport.position + STEP);
      else if (event.key === "Home") transport.seek(0);
      else if (event.key === "l" || event.key === "L") transport.setLoop(!transport.loop);
      // Space works a button that is focused, save the version that already plays: there it pauses.
      else if (event.key === " " && !(onButton && !(this.buttons.includes(onButton) && onButton.getAttribute("aria-pressed") === "true"))) this.toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    show() {
      const { transport } = this;
      this.versions.forEach((version, index) => {
        version.hidden = index !== transport.selected;
        this.buttons[index].setAttribute("aria-pressed", String(index === transport.selected));
      });
      this.versions[transport.selected].querySelector(".player-screen").append(this.head);
      const state = transport.playing ? "pause" : "play";
      if (this.playButton.dataset.state !== state) {
        this.playButton.dataset.state = state;
        this.playButton.innerHTML = ICONS[state];
        this.playButton.setAttribute("aria-label", state);
      }
      this.loopButton.setAttribute("aria-pressed", String(transport.loop));
      this.move();
      if (transport.playing && !this.frame) this.frame = requestAnimationFrame(() => this.follow());
    }

    follow() {
      this.frame = null;
      if (!this.root.isConnected) { this.transport.halt(); players.delete(this); return; }
      this.move();
      if (this.transport.playing) this.frame = requestAnimationFrame(() => this.follow());
    }

    move() {
      const { position, seconds } = this.transport;
      this.head.style.left = `${(100 * position) / seconds}%`;
      this.slider.value = position;
      this.slider.setAttribute("aria-valuetext", `${clock(position)} of ${clock(seconds)}`);
      this.time.textContent = `${clock(position)} / ${clock(seconds)}`;
    }
  }

  // A page holds each sound once: where another player has it, this one only names it.
  function soundSource(version, key) {
    const own = version.querySelector("audio");
    return (own ?? document.querySelector(`audio[data-sound="${key}"]`)).getAttribute("src");
  }

  function start() {
    for (const root of document.querySelectorAll(".player:not(.live)")) {
      const player = new Player(root);
      root.player = player;
      players.add(player);
    }
  }

  window.denoisePlayers = { Transport, start };
  start();
})();
