// The comparison player: turns each .player of the document into one instrument.
// Transport plays the versions of a clip in step, Player is what is seen of it, Tools are its
// quiet row: a part to loop, matched loudness, the difference of two versions, downloads.
(() => {
  "use strict";
  if (window.denoisePlayers) { window.denoisePlayers.start(); return; }

  const FADE = 0.005;      // seconds; long enough not to click, short enough to compare
  const STEP = 0.5;        // seconds per arrow key
  const SHORTEST = 0.05;   // seconds of a part to loop
  const PEAK_DB = -1;      // loudest sample after matching, dB re full scale, at most
  const SILENT_DB = -80;   // RMS below which a version is left as it is
  const FLOOR_DB = -100;   // darkest level of the spectrograms: below it nothing is compared
  const DIFFERENCE_DB = 40;   // ends of the scale of a difference
  const COLUMNS = 640;     // of a difference, as many as the spectrograms have
  const KEPT = 64;         // decoded sounds: a notebook may show new ones for hours
  const ICONS = {
    play: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1l11 7-11 7z"/></svg>',
    pause: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1h4v14H3zM9 1h4v14H9z"/></svg>',
  };
  const LEVELS = [-100, -20];  // dB re a full-scale sine: the scale of the spectrograms
  const MAGMA = [[0, 0, 4], [29, 17, 71], [81, 18, 124], [131, 38, 129], [183, 55, 121], [231, 82, 99], [252, 137, 97], [254, 196, 136], [252, 253, 191]];
  // From softer, blue, over equal, near black like the silence of a spectrogram, to louder, orange.
  const DIVERGING = [[158, 220, 255], [45, 120, 185], [12, 14, 20], [190, 85, 35], [255, 205, 150]];

  // ---- Sounds: {key, source} with 16-bit FLAC in a data URI, or {key, made} with a function that gives
  // {samples, rate}, or a promise of it.

  let shared = null;  // one context for all players, made on the first play: browsers want a click first
  const forPlaying = new Map(), forMeasuring = new Map(), spectra = new Map();

  function remember(kept, key, make) {
    if (!kept.has(key)) {
      if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
      kept.set(key, make());
    }
    return kept.get(key);
  }

  const bytesOf = (source) => Uint8Array.from(atob(source.slice(source.indexOf(",") + 1)), (c) => c.charCodeAt(0));

  const fileOf = async (sound) => (sound.made ? wav(await stored(sound)) : bytesOf(sound.source));

  const decode = (sound) => remember(forPlaying, sound.key, async () => shared.decodeAudioData((await fileOf(sound)).buffer));

  // Samples at a rate.
  async function decodedAt(sound, rate) {
    const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData((await fileOf(sound)).buffer);
    return buffer.getChannelData(0);
  }

  // The samples as they are stored, at the rate that the FLAC header gives: the browser plays at another.
  function stored({ key, source, made }) {
    return remember(forMeasuring, key, async () => {
      if (made) return made();
      const bytes = bytesOf(source);
      const rate = (bytes[18] << 12) | (bytes[19] << 4) | (bytes[20] >> 4);
      const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
      return { rate, samples: buffer.getChannelData(0) };
    });
  }

  // A WAVE file of one channel, 32-bit floats: what is computed in the page goes the way of what it holds.
  function wav({ samples, rate }) {
    const bytes = new Uint8Array(44 + 4 * samples.length), view = new DataView(bytes.buffer);
    const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF"); text(8, "WAVEfmt "); text(36, "data");
    for (const [at, value] of [[4, 36 + 4 * samples.length], [16, 16], [24, rate], [28, 4 * rate], [40, 4 * samples.length]]) view.setUint32(at, value, true);
    for (const [at, value] of [[20, 3], [22, 1], [32, 4], [34, 32]]) view.setUint16(at, value, true);
    new Float32Array(bytes.buffer, 44).set(samples);
    return bytes;
  }

  // ---- Measures

  const decibel = (amplitude) => 20 * Math.log10(Math.max(amplitude, 1e-9));

  function level(samples) {
    let power = 0, peak = 0;
    for (const sample of samples) {
      power += sample * sample;
      peak = Math.max(peak, Math.abs(sample));
    }
    return { rms: decibel(Math.sqrt(power / samples.length)), peak: decibel(peak) };
  }

  // Gains in dB that bring all versions to one RMS level over the clip: the level of the first, or
  // lower where a peak would come above PEAK_DB. What is silent stays so.
  function matching(clips) {
    const levels = clips.map(level);
    const heard = levels.filter(({ rms }) => rms > SILENT_DB);
    const target = Math.min(heard[0]?.rms ?? 0, ...heard.map(({ rms, peak }) => rms + PEAK_DB - peak));
    return { target, gains: levels.map(({ rms }) => (rms > SILENT_DB ? target - rms : 0)) };
  }

  // In place, complex; the length is a power of two.
  function fft(real, imaginary) {
    const n = real.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [real[i], real[j]] = [real[j], real[i]];
        [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
      }
    }
    for (let size = 2; size <= n; size *= 2) {
      for (let k = 0; k < size / 2; k++) {
        const c = Math.cos((2 * Math.PI * k) / size), s = -Math.sin((2 * Math.PI * k) / size);
        for (let a = k; a < n; a += size) {
          const b = a + size / 2;
          const x = real[b] * c - imaginary[b] * s, y = real[b] * s + imaginary[b] * c;
          real[b] = real[a] - x; imaginary[b] = imaginary[a] - y;
          real[a] += x; imaginary[a] += y;
        }
      }
    }
  }

  // Levels in dB re a full-scale sine, (columns, bins) in one array: Hann frames of 32 ms or the
  // power of two next to it, a frame in the middle of each column.
  function spectrogram({ samples, rate }, columns = COLUMNS) {
    const size = 2 ** Math.round(Math.log2(0.032 * rate)), bins = size / 2;
    const hann = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
    const levels = new Float32Array(columns * bins);
    const real = new Float64Array(size), imaginary = new Float64Array(size);
    for (let column = 0; column < columns; column++) {
      const first = Math.round(((column + 0.5) * samples.length) / columns) - bins;
      for (let i = 0; i < size; i++) real[i] = (samples[first + i] ?? 0) * hann[i];
      imaginary.fill(0);
      fft(real, imaginary);
      // A window of this length sums to half of it, and a sine has half its amplitude in each of two bins.
      for (let k = 0; k < bins; k++) levels[column * bins + k] = decibel(Math.hypot(real[k], imaginary[k]) / (size / 4));
    }
    return { columns, bins, levels };
  }

  const spectrumOf = (sound) => remember(spectra, sound.key, async () => spectrogram(await stored(sound)));

  // One minus the other, in dB; levels below FLOOR_DB count as equal to it.
  function difference(one, other) {
    return one.levels.map((each, i) => Math.max(each, FLOOR_DB) - Math.max(other.levels[i], FLOOR_DB));
  }

  // A colour between those of a scale; share: of 0 to 1.
  function tone(colours, share) {
    const place = Math.min(Math.max(share, 0), 1) * (colours.length - 1), low = Math.min(Math.floor(place), colours.length - 2);
    return colours[low].map((value, i) => value + (place - low) * (colours[low + 1][i] - value));
  }

  // Values, (columns, bins), between two ends as the colours of a scale, in 256 steps.
  function draw(canvas, { columns, bins }, values, [least, most], colours) {
    [canvas.width, canvas.height] = [columns, bins];
    const brush = canvas.getContext("2d"), image = brush.createImageData(columns, bins);
    const pixels = new Uint32Array(image.data.buffer), steps = new Uint32Array(256);
    for (let i = 0; i < 256; i++) new Uint8ClampedArray(steps.buffer, 4 * i, 4).set([...tone(colours, i / 255), 255]);
    for (let i = 0; i < values.length; i++) {
      const step = Math.round((255 * (values[i] - least)) / (most - least));
      pixels[(bins - 1 - (i % bins)) * columns + Math.floor(i / bins)] = steps[Math.min(Math.max(step, 0), 255)];
    }
    brush.putImageData(image, 0, 0);
  }

  // ---- Transport: all versions run all the time, in step; only the selected one is let through. So
  // a switch keeps the position to the sample.

  // A copy of a sound that leads over its end into what comes before its start: going round does not click.
  function seamless(buffer, start, end) {
    const { sampleRate, length } = buffer, original = buffer.getChannelData(0);
    const copy = new AudioBuffer({ length, sampleRate });
    const samples = copy.getChannelData(0);
    samples.set(original);
    const [from, to] = [start, end].map((time) => Math.min(Math.round(time * sampleRate), length));
    const fade = Math.min(Math.round(FADE * sampleRate), to - from);
    for (let k = 1; k <= fade; k++) {
      samples[to - k] = (original[to - k] * k + (original[from - k] ?? 0) * (fade - k)) / fade;
    }
    return copy;
  }

  class Transport {
    // sounds: [{key, source}] with source a data URI; seconds: their length; changed: called after
    // every change of state; context: where they sound, by default that of all players.
    constructor(sounds, seconds, changed, context = null) {
      Object.assign(this, { sounds, seconds, changed, context, selected: 0, loop: false, playing: false });
      this.region = null;  // [start, end] in seconds of the part to loop; null is all
      this.gains = [];     // of each version; 1 where none is given
      this.mixed = null;   // (selected) => shares of the versions that sound together; null: one sounds
      this.offset = 0;     // position in the clip at context time `started`
      this.started = 0;
      this.turn = 0;       // counts starts and stops, so that a late answer is told from a current one
      this.voices = [];
    }

    get bounds() { return (this.loop && this.region) || [0, this.seconds]; }

    get position() {
      if (!this.voices.length) return this.offset;
      const position = this.offset + Math.max(0, this.context.currentTime - this.started);
      const [start, end] = this.bounds;
      if (!this.loop) return Math.min(position, end);
      return position < end ? position : start + ((position - start) % (end - start));
    }

    async play() {
      if (this.playing) return;
      const turn = ++this.turn;
      this.playing = true;
      this.changed();
      shared ??= new AudioContext({ latencyHint: "interactive" });
      this.context ??= shared;
      const [buffers] = await Promise.all([Promise.all(this.sounds.map(decode)), this.context.resume()]);
      if (turn !== this.turn) return;
      const [start, end] = this.bounds;
      if (this.offset >= end - 0.01) this.offset = start;
      this.started = this.context.currentTime + 0.01;
      this.voices = buffers.map((buffer, index) => this.voice(this.loop ? seamless(buffer, start, end) : buffer, index));
      this.voices[0].source.onended = () => { if (turn === this.turn) this.halt(this.seconds); };
    }

    voice(buffer, index) {
      const [loopStart, loopEnd] = this.bounds;
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: this.loop, loopStart, loopEnd });
      const gain = new GainNode(this.context, { gain: 0 });
      source.connect(gain).connect(this.context.destination);
      source.start(this.started, this.offset);
      const level = this.level(index);
      gain.gain.setValueAtTime(0, this.started);
      gain.gain.linearRampToValueAtTime(level, this.started + FADE);
      return { source, gain, level };
    }

    level(index) {
      if (this.mixed) return this.mixed(this.selected)[index] ?? 0;
      return index === this.selected ? this.gains[index] ?? 1 : 0;
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
      this.voices.forEach((voice, i) => this.fade(voice, this.level(i)));
      this.changed();
    }

    setGains(gains) {
      this.gains = gains;
      this.select(this.selected);
    }

    seek(position) {
      const playing = this.playing;
      this.halt(Math.min(Math.max(position, 0), this.seconds));
      if (playing) return this.play();
    }

    setMixed(mixed) {
      this.mixed = mixed;
      this.select(this.selected);
    }

    // region: [start, end] in seconds, or null for the whole clip.
    setLoop(loop, region = this.region) {
      const position = this.position;
      this.loop = loop;
      this.region = region;
      const [start, end] = this.bounds;
      return this.seek(position < start || position > end ? start : position);
    }
  }

  // ---- What is seen

  const clock = (t) => `${Math.floor(t / 60)}:${(t % 60).toFixed(1).padStart(4, "0")}`;
  const signed = (decibels) => `${decibels < -0.05 ? "−" : decibels < 0.05 ? "" : "+"}${Math.abs(decibels).toFixed(1)} dB`;

  function element(tag, className, attributes = {}, content = "") {
    const made = document.createElement(tag);
    made.className = className;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.innerHTML = content;
    return made;
  }

  function button(className, text, key, pressed) {
    const made = element("button", className, { type: "button" }, text);
    if (key) made.setAttribute("aria-keyshortcuts", key);
    made.addEventListener("click", pressed);
    return made;
  }

  const players = new Set();
  const haltOthers = (but) => { for (const other of players) if (other !== but && other.transport.playing) other.transport.halt(); };

  class Player {
    constructor(root) {
      this.root = root;
      this.versions = [...root.querySelectorAll(".player-version")];
      this.names = this.versions.map((version) => version.querySelector("figcaption").textContent);
      for (const picture of root.querySelectorAll("img[data-same]")) picture.src = pictureSource(picture.dataset.same);
      const sounds = this.versions.map((version) => {
        if (version.sound) return version.sound;
        const { sound: key } = version.querySelector("[data-sound]").dataset;
        return { key, get source() { return soundSource(version, key); } };
      });
      this.transport = new Transport(sounds, Number(root.dataset.seconds), () => this.show());
      this.build();
      root.addEventListener("keydown", (event) => this.key(event));
      root.classList.add("live");
      this.show();
    }

    get screen() { return this.versions[this.transport.selected].querySelector(".player-screen"); }

    build() {
      const buttons = element("div", "player-buttons", { role: "group", "aria-label": "version" });
      this.buttons = this.versions.map((version, index) => {
        const made = button("", "", index < 9 ? String(index + 1) : "", () => this.transport.select(index));
        made.style.setProperty("--version", version.style.getPropertyValue("--version"));
        made.append(this.names[index]);
        made.dataset.name = this.names[index];
        if (index < 9) made.append(element("kbd", "", { "aria-hidden": "true" }, String(index + 1)));
        return made;
      });
      buttons.append(...this.buttons);
      this.head = element("div", "player-head");
      this.playButton = button("player-play", "", "Space", () => this.toggle());
      this.slider = element("input", "", { type: "range", min: 0, max: this.transport.seconds, step: 0.01, "aria-label": "position" });
      this.slider.addEventListener("input", () => this.transport.seek(Number(this.slider.value)));
      this.time = element("span", "player-time");
      this.loopButton = button("player-loop", "loop", "L", () => this.transport.setLoop(!this.transport.loop));
      const transport = element("div", "player-transport");
      transport.append(this.playButton, this.slider, this.time, this.loopButton);
      this.tools = new Tools(this);
      const last = Math.min(9, this.versions.length);
      const keys = element("p", "player-keys", {}, `keys: 1 to ${last} version, space play, arrows seek, L loop, A and B its ends, M match, D difference${this.tools.mixes.removed ? ", R removed, W wrong" : ""}`);
      this.versions[0].before(buttons);
      this.versions.at(-1).after(transport, this.tools.row, this.tools.notice, keys);
      for (const version of this.versions) this.pointer(version.querySelector(".player-screen"));
    }

    // A click seeks; a drag marks the part to loop.
    pointer(screen) {
      let from = null, marked = null;
      const at = (event) => {
        const box = screen.getBoundingClientRect();
        return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.transport.seconds;
      };
      screen.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        screen.setPointerCapture(event.pointerId);
        [from, marked] = [event, null];
      });
      screen.addEventListener("pointermove", (event) => {
        if (!from || (!marked && Math.abs(event.clientX - from.clientX) < 6)) return;
        marked = [at(from), at(event)].sort((a, b) => a - b);
        this.tools.showRegion(marked);
      });
      screen.addEventListener("pointerup", (event) => {
        if (from && marked) this.tools.mark(...marked);
        else if (from) this.tools.seek(at(event));
        from = null;
      });
      screen.addEventListener("dragstart", (event) => event.preventDefault());  // of the picture
      screen.addEventListener("pointercancel", () => { from = null; this.show(); });
    }

    async toggle() {
      if (this.transport.playing) { this.transport.halt(); return; }
      haltOthers(this);
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
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select")) return;
      const { transport, tools } = this;
      const onButton = event.target.closest("button");
      const choice = Number(event.key) - 1;
      const actions = {
        ArrowLeft: () => transport.seek(transport.position - STEP),
        ArrowRight: () => transport.seek(transport.position + STEP),
        Home: () => transport.seek(transport.bounds[0]),
        l: () => transport.setLoop(!transport.loop),
        a: () => tools.markStart(),
        b: () => tools.markEnd(),
        m: () => tools.toggleMatch(),
        d: () => tools.toggleDifference(),
        r: tools.mixes.removed && (() => tools.toggleMix("removed")),
        w: tools.mixes.wrong && (() => tools.toggleMix("wrong")),
        Escape: transport.region && (() => tools.unmark()),
        // Space works a button that is focused, save the version that already plays: there it pauses.
        " ": (!onButton || (this.buttons.includes(onButton) && onButton.getAttribute("aria-pressed") === "true")) && (() => this.toggle()),
      };
      const action = actions[event.key.length > 1 ? event.key : event.key.toLowerCase()];
      if (choice >= 0 && choice < this.versions.length) transport.select(choice);
      else if (action) action();
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
      this.versions[transport.selected].draw?.();
      if (this.head.parentElement !== this.screen) this.screen.append(this.tools.canvas, this.tools.region, this.head);
      const state = transport.playing ? "pause" : "play";
      if (this.playButton.dataset.state !== state) {
        this.playButton.dataset.state = state;
        this.playButton.innerHTML = ICONS[state];
        this.playButton.setAttribute("aria-label", state);
      }
      this.loopButton.setAttribute("aria-pressed", String(transport.loop));
      this.tools.show();
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

  // ---- The quiet row below the transport

  class Tools {
    constructor(player) {
      this.player = player;
      this.transport = player.transport;
      this.matched = null;    // {target, gains} in dB while loudness is matched
      this.mixes = mixes(player.names);
      this.mix = null;        // the name of one of these while it is heard
      this.comparing = false;
      this.build();
    }

    build() {
      const { names, root } = this.player;
      this.startButton = button("", "loop from here", "A", () => this.markStart());
      this.endButton = button("", "to here", "B", () => this.markEnd());
      this.wholeButton = button("", "whole clip", "Escape", () => { this.unmark(); this.startButton.focus(); });
      this.matchButton = button("", "match loudness", "M", () => this.toggleMatch());
      this.differenceButton = button("", "difference", "D", () => this.toggleDifference());
      this.mixButtons = Object.keys(this.mixes).map((name) => {
        const made = button("", name === "removed" ? "hear what was removed" : "hear what is wrong", name[0].toUpperCase(), () => this.toggleMix(name));
        made.dataset.mix = name;
        return made;
      });
      this.reference = element("select", "", { "aria-label": "difference to" });
      this.reference.append(...names.map((name, index) => new Option(`to ${name}`, index)));
      this.reference.addEventListener("change", () => this.show());
      this.downloadButton = button("", "", "", () => this.download());
      this.row = element("div", "player-tools", { role: "group", "aria-label": "tools" });
      this.row.append(
        this.startButton, this.endButton, this.wholeButton, this.matchButton,
        ...this.mixButtons, this.differenceButton, this.reference, this.downloadButton,
      );
      this.notice = element("p", "player-notice", { role: "status" });
      this.region = element("div", "player-region");
      this.canvas = element("canvas", "player-difference", { role: "img", "aria-label": "Difference of spectrograms" });
      this.gainText = root.querySelector(".player-foot span");
      this.gainWords = this.gainText.textContent;
      this.scale = root.querySelector(".player-scale");
      this.ownScale = element("span", "player-scale", {}, `−${DIFFERENCE_DB}<i></i>+${DIFFERENCE_DB} dB `);
      this.ownScale.querySelector("i").style.background = `linear-gradient(90deg, ${DIVERGING.map((rgb) => `rgb(${rgb})`)})`;
      this.ownWords = this.ownScale.appendChild(element("span", ""));
      this.scale.after(this.ownScale);
    }

    // A part to loop

    mark(start, end) {
      start = Math.max(0, Math.min(start, this.transport.seconds - SHORTEST));
      return this.transport.setLoop(true, [start, Math.min(Math.max(end, start + SHORTEST), this.transport.seconds)]);
    }

    unmark() { return this.transport.setLoop(false, null); }

    markStart() {
      const { position, region, seconds } = this.transport;
      this.mark(position, region && region[1] > position ? region[1] : seconds);
    }

    markEnd() {
      const { position, region } = this.transport;
      this.mark(region && region[0] < position ? region[0] : 0, position);
    }

    // Outside the part, a click also takes the part away.
    async seek(position) {
      const { region } = this.transport;
      if (region && (position < region[0] || position > region[1])) await this.unmark();
      this.transport.seek(position);
    }

    showRegion(region) {
      this.region.hidden = !region;
      if (!region) return;
      const [left, right] = region.map((time) => (100 * time) / this.transport.seconds);
      Object.assign(this.region.style, { left: `${left}%`, width: `${right - left}%` });
      this.region.classList.toggle("off", !this.transport.loop);
    }

    // Loudness

    async toggleMatch() {
      if (this.matched) this.matched = null;
      else {
        const clips = await Promise.all(this.transport.sounds.map(stored)).catch((error) => this.fail(error));
        if (clips) this.matched = matching(clips.map(({ samples }) => samples));
      }
      this.transport.setGains(this.transport.sounds.map((_, i) => 10 ** ((this.matched?.gains[i] ?? 0) / 20)));
    }

    showMatch() {
      const { matched, player, transport } = this;
      player.root.classList.toggle("matched", Boolean(matched));
      player.buttons.forEach((made, index) => {
        made.querySelector(".player-gain")?.remove();
        if (matched) made.append(element("span", "player-gain", {}, signed(matched.gains[index])));
      });
      this.gainText.textContent = matched
        ? `${this.gainWords.replace(", the same for all versions", "")}, and ${signed(matched.gains[transport.selected])} for this version`
        : this.gainWords;
    }

    // What was removed and what is wrong: versions run in step, so that one can be taken from another.

    toggleMix(name) {
      this.mix = this.mix === name ? null : name;
      this.comparing = false;
      if (this.mix) this.leave(...["clean", "noisy"].map((each) => this.player.names.indexOf(each)));
      this.transport.setMixed(this.mix && this.mixes[this.mix].shares);
    }

    // Where one of these is selected, the last version is instead: it has more to tell.
    leave(...indices) {
      const last = this.player.versions.length - 1;
      if (indices.includes(this.transport.selected) && !indices.includes(last)) this.transport.select(last);
    }

    async showMix() {
      const { names } = this.player, { sounds, selected } = this.transport;
      const shown = this.mix && this.mixes[this.mix].words(names[selected]);
      if (!shown || shown === this.drawn) return;
      this.drawn = shown;
      const clips = await Promise.all(sounds.map(stored)).catch((error) => this.fail(error));
      if (!clips || shown !== this.drawn) return;
      const { rate, samples } = clips[0], shares = this.mixes[this.mix].shares(selected);
      const mix = samples.map((_, i) => clips.reduce((sum, clip, k) => sum + (shares[k] ?? 0) * clip.samples[i], 0));
      const picture = spectrogram({ samples: mix, rate });
      draw(this.canvas, picture, picture.levels, LEVELS, MAGMA);
      this.canvas.setAttribute("aria-label", `Spectrogram: ${shown}`);
    }

    // Difference

    toggleDifference() {
      this.comparing = !this.comparing;
      if (this.comparing) {
        this.leave(Number(this.reference.value));
        if (this.mix) { this.toggleMix(this.mix); this.comparing = true; }
      }
      this.show();
    }

    async showDifference() {
      const { names } = this.player, { sounds, selected } = this.transport;
      const [one, other] = [selected, Number(this.reference.value)];
      const shown = this.comparing && `${names[one]} minus ${names[other]}`;
      this.reference.hidden = this.ownScale.hidden = !shown;
      this.canvas.hidden = !shown && !this.mix;
      if (!shown && !this.mix) this.drawn = null;
      this.scale.hidden = Boolean(shown);
      if (!shown || shown === this.drawn) return;
      this.drawn = shown;
      this.ownWords.textContent = shown;
      const pair = await Promise.all([sounds[one], sounds[other]].map(spectrumOf)).catch((error) => this.fail(error));
      if (!pair || shown !== this.drawn) return;
      draw(this.canvas, pair[0], difference(...pair), [-DIFFERENCE_DB, DIFFERENCE_DB], DIVERGING);
      this.canvas.setAttribute("aria-label", `Difference of spectrograms: ${shown}, −${DIFFERENCE_DB} to +${DIFFERENCE_DB} dB`);
    }

    fail(error) {
      console.error(error);
      this.notice.textContent = "This browser cannot decode the sounds.";
    }

    // The file as it is stored in the page, or as it was computed

    async download() {
      const { names, root } = this.player, { sounds, selected } = this.transport, sound = sounds[selected];
      const title = `${root.querySelector(".player-title").textContent} ${names[selected]}`;
      const link = element("a", "", { download: `${title.toLowerCase().replace(/[^\p{L}\p{N}.]+/gu, "-")}.${sound.made ? "wav" : "flac"}` });
      link.href = URL.createObjectURL(new Blob([await fileOf(sound)], { type: sound.made ? "audio/wav" : "audio/flac" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }

    show() {
      const { region, loop, selected } = this.transport;
      this.showRegion(region);
      this.wholeButton.hidden = !region;
      this.showMatch();
      this.showDifference();
      this.showMix();
      for (const made of this.mixButtons) made.setAttribute("aria-pressed", String(made.dataset.mix === this.mix));
      this.matchButton.setAttribute("aria-pressed", String(Boolean(this.matched)));
      this.differenceButton.setAttribute("aria-pressed", String(this.comparing));
      this.downloadButton.textContent = `download ${this.player.names[selected]}`;
      const notices = [];
      if (this.matched) {
        notices.push(
          "<strong>Loudness-matched:</strong> every version is brought to " +
          `${signed(this.matched.target)} RMS over the clip, by the gain on its button. ` +
          "What is louder is no longer louder.",
        );
      }
      if (this.mix) notices.push(`<strong>You hear ${this.mixes[this.mix].words(this.player.names[selected])}</strong>, at the gain of the versions.`);
      if (region) notices.push(`${loop ? "Loops" : "Would loop"} ${clock(region[0])} to ${clock(region[1])}.`);
      const text = notices.join(" ");
      if (this.notice.dataset.text !== text) this.notice.innerHTML = this.notice.dataset.text = text;
    }
  }

  // By which shares the versions of a clip give what a network removed, and what is wrong with it.
  function mixes(names) {
    const [clean, noisy] = ["clean", "noisy"].map((name) => names.indexOf(name));
    if (clean < 0 || noisy < 0) return {};
    const one = (more, less) => names.map((_, i) => Number(i === more) - Number(i === less));
    return {
      removed: { shares: (selected) => one(noisy, selected), words: (name) => `what was removed: noisy minus ${name}` },
      wrong: { shares: (selected) => one(selected, clean), words: (name) => `what is wrong: ${name} minus clean` },
    };
  }

  // Marks of time and frequency, as player.py sets them.
  function axes(seconds, top = 8) {
    const marks = element("span", "player-axes", { "aria-hidden": "true" });
    const mark = (kind, side, share, text) => {
      const made = element("span", kind, {}, text);
      made.style[side] = `${100 * share}%`;
      marks.append(made);
    };
    for (const share of [0, 0.25, 0.5, 0.75, 1]) mark("y", "bottom", share, `${top * share}${share === 1 ? " kHz" : ""}`);
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 600].find((each) => seconds / each <= 9) ?? seconds;
    for (let i = 0; i * step <= seconds; i++) mark("x", "left", (i * step) / seconds, `${Number((i * step).toFixed(1))}${i ? "" : " s"}`);
    return marks;
  }

  // A player of sounds that the page has or makes. versions: [{name, colour, sound, scores}] with scores
  // as {heading: text}; it works once it is in the document and `start` has been called.
  function made({ title, hint = "", seconds, versions, foot = "gain 0.0 dB, the same for all versions" }) {
    const root = element("div", "player", { role: "group", "aria-label": `Player: ${title}`, "data-seconds": seconds });
    const text = (tag, className, words) => Object.assign(element(tag, className), { textContent: words });
    root.append(text("p", "player-title", title));
    if (hint) root.append(text("p", "player-hint", hint));
    for (const { name, colour, sound, scores = {} } of versions) {
      const version = element("figure", "player-version", { "data-name": name });
      version.style.setProperty("--version", colour ?? "var(--quiet)");
      version.sound = sound;
      const screen = element("div", "player-screen"), list = element("dl", "player-scores");
      const picture = element("canvas", "player-picture", { role: "img", "aria-label": `Spectrogram: ${name}, ${title}` });
      version.draw = () => {  // when it is seen first
        version.draw = null;
        spectrumOf(sound).then((spectrum) => draw(picture, spectrum, spectrum.levels, LEVELS, MAGMA)).catch(console.error);
      };
      screen.append(picture, axes(seconds));
      for (const [heading, value] of Object.entries(scores)) {
        const item = element("div", "");
        item.append(text("dt", "", heading), text("dd", "", value));
        list.append(item);
      }
      version.append(text("figcaption", "", name), screen, list);
      root.append(version);
    }
    const scale = element("span", "player-scale", {}, `−${-LEVELS[0]}<i></i>−${-LEVELS[1]} dB re full scale`);
    const line = element("p", "player-foot");
    line.append(text("span", "", foot), " ", scale);
    root.append(line);
    return root;
  }

  // Puts a player of `made` in the place of another. Version, loop and whether it plays are kept, and the
  // position if it plays the same clip.
  function swap(place, root, same = true) {
    const before = place.querySelector(".player")?.player;
    players.delete(before);
    const { selected, position, playing, loop } = before?.transport ?? {}, name = before?.names[selected];
    before?.transport.halt();
    place.replaceChildren(root);
    start();
    place.dispatchEvent(new CustomEvent("swap", { bubbles: true, detail: { before: before?.root, after: root } }));
    const { player } = root;
    if (!before) return player;
    player.transport.select(Math.max(0, player.names.indexOf(name)));
    player.transport.loop = loop;
    player.transport.seek(same ? position : 0);
    if (playing) player.toggle();
    return player;
  }

  // A page holds each sound once: where another player has it, this one only names it.
  function soundSource(version, key) {
    const own = version?.querySelector("audio");
    return (own ?? document.querySelector(`audio[data-sound="${key}"]`)).getAttribute("src");
  }

  // So with pictures.
  const pictureSource = (key) => document.querySelector(`img[data-picture="${key}"]`).src;

  function start() {
    for (const root of document.querySelectorAll(".player:not(.live)")) {
      const player = new Player(root);
      root.player = player;
      players.add(player);
    }
  }

  window.denoisePlayers = {
    FADE, Transport, start, made, swap, players, haltOthers, soundSource, stored, decodedAt, fft, spectrogram, difference, matching,
  };
  start();
})();
