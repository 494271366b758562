// "Your own voice": a recording or a file, a damage, the small network, and a player of them. The sums
// are done in a worker, which is made from text of this page; nothing leaves the page.
(() => {
  "use strict";
  const root = document.querySelector("#voice");
  if (!root || !window.denoisePlayers) return;
  const { made, swap, stored, soundSource } = window.denoisePlayers;
  const { wsdr, siSdr } = window.denoiseMeasures;
  const RATE = 16_000, LONGEST = 15, NOMINAL = 0.05;  // samples per second; seconds; RMS re full scale
  const PEAK = 10 ** (-1 / 20);  // the loudest sample of the versions, at most
  const PAUSE = 250;  // milliseconds that a slider rests before the sums begin
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const written = (value, decimals) => value.toFixed(decimals).replace("-", "−");
  const power = (samples) => samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
  const WRITTEN = {
    zero: (value) => `${value} %`, raised: (value) => `${value} %`, value: (value) => written(value, 1), snr: (value) => `${written(value, 2)} dB`,
  };

  // ---- The worker: a question has an answer, and tells in between how far it is

  class Helper {
    constructor() {
      const text = document.getElementById("voice-worker").textContent;
      this.worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      this.waiting = new Map();
      this.worker.addEventListener("message", ({ data: { id, share, done, failed } }) => {
        const { told, resolve, reject } = this.waiting.get(id);
        if (share !== undefined) { told(share); return; }
        this.waiting.delete(id);
        if (failed) reject(Error(failed)); else resolve(done);
      });
      this.ask({ task: "hold", ...JSON.parse(document.getElementById("voice-network").textContent) });
    }

    ask(question, told = () => {}) {
      const id = (this.asked = (this.asked ?? 0) + 1);
      return new Promise((resolve, reject) => {
        this.waiting.set(id, { told, resolve, reject });
        this.worker.postMessage({ id, ...question });
      });
    }
  }

  class Voice {
    constructor() {
      this.own = null;      // {samples, title} of what is used, at 16 kHz
      this.recorder = null;
      this.street = JSON.parse(root.dataset.street);  // [noisy, clean] keys of street clips of the page
      this.wire();
      this.show();
    }

    wire() {
      part("record").addEventListener("click", () => this.record());
      part("file").addEventListener("change", () => { if (part("file").files.length) this.take(part("file").files[0], part("file").files[0].name); });
      part("example").addEventListener("click", () => this.example());
      part("example").hidden = !this.clip;
      const street = root.querySelector('input[value="street"]');
      street.disabled = !this.street.length;
      if (street.disabled) root.querySelector('input[value="fixed"]').checked = true;
      for (const input of root.querySelectorAll(".voice-damage input")) input.addEventListener("change", () => { this.show(); this.work(); });
      for (const slider of root.querySelectorAll("[data-setting]")) {
        slider.addEventListener("input", () => {
          this.show();
          clearTimeout(this.rest);
          this.rest = setTimeout(() => this.work(), PAUSE);
        });
      }
      const box = root.querySelector(".voice");
      box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
      box.addEventListener("dragleave", () => box.classList.remove("over"));
      box.addEventListener("drop", (event) => {
        event.preventDefault();
        box.classList.remove("over");
        const [file] = event.dataTransfer.files;
        if (file) this.take(file, file.name);
      });
    }

    get damage() { return root.querySelector(".voice-damage input:checked").value; }

    setting(name) { return Number(root.querySelector(`[data-setting="${name}"]`).value); }

    show() {
      for (const sliders of root.querySelectorAll(".voice-sliders")) sliders.hidden = sliders.dataset.for !== this.damage;
      for (const slider of root.querySelectorAll("[data-setting]")) {
        const text = WRITTEN[slider.dataset.setting](Number(slider.value));
        slider.parentElement.querySelector("output").textContent = text;
        slider.setAttribute("aria-valuetext", text);
      }
      part("record").textContent = this.recorder ? "stop" : "record";
      part("record").setAttribute("aria-pressed", String(Boolean(this.recorder)));
    }

    say(text) { part("status").textContent = text; }

    // ---- Where the sound comes from

    async record() {
      if (this.recorder) { this.recorder.stop(); return; }
      try {
        // As the microphone gives it: what browsers do to speech would be heard in place of the network.
        const wish = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
        const stream = await navigator.mediaDevices.getUserMedia({ audio: wish });
        const lossless = "audio/webm;codecs=pcm", pieces = [];
        const how = MediaRecorder.isTypeSupported(lossless) ? { mimeType: lossless } : { audioBitsPerSecond: 256_000 };
        this.recorder = new MediaRecorder(stream, how);
        this.recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
        this.recorder.addEventListener("stop", () => {
          for (const track of stream.getTracks()) track.stop();
          clearTimeout(this.longest);
          this.recorder = null;
          this.show();
          this.take(new Blob(pieces), "your voice");
        });
        this.recorder.start();
        this.longest = setTimeout(() => this.recorder?.stop(), 1000 * LONGEST);
        this.say("Recording: say a sentence, then press stop.");
      } catch (error) {
        this.recorder = null;
        this.say(`The microphone could not be opened (${error.message}). A file works as well.`);
      }
      this.show();
    }

    // A recording or a file, in any format that the browser reads, to one channel at 16 kHz.
    async take(file, title) {
      this.say("Reading the recording.");
      try {
        const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
        const samples = new Float32Array(Math.min(buffer.length, LONGEST * RATE));
        for (let c = 0; c < buffer.numberOfChannels; c++) {
          const channel = buffer.getChannelData(c);
          for (let i = 0; i < samples.length; i++) samples[i] += channel[i] / buffer.numberOfChannels;
        }
        if (!(power(samples) > 0)) { this.say("The recording is silent."); return; }
        this.own = { samples, title };
        const cut = buffer.duration > LONGEST ? `, of which the first ${LONGEST} are used` : "";
        this.say(`${title}: ${written(buffer.duration, 1)} seconds${cut}.`);
      } catch {
        this.say("This browser cannot read that file: try a WAV, FLAC or MP3 file.");
        return;
      }
      await this.work();
    }

    // A clean clip of the page: the first of the matrix, or of a player.
    get clip() {
      const first = window.denoiseMatrix?.clips()[0]?.sounds.clean;
      const { sound: key } = document.querySelector('.player-version[data-name="clean"] [data-sound]')?.dataset ?? {};
      return first ?? (key && { key, source: soundSource(null, key) });
    }

    async example() {
      const { samples } = await stored(this.clip);
      this.own = { samples, title: "a clip of this page" };
      this.say(`A clip of this page: ${written(samples.length / RATE, 1)} seconds.`);
      await this.work();
    }

    // ---- Damage and network

    async work() {
      if (!this.own) return;
      this.again = true;
      if (this.working) return;
      this.working = true;
      try {
        while (this.again) {
          this.again = false;
          await this.once(this.own, this.damage);
        }
      } catch (error) {
        console.error(error);
        this.say("This browser cannot run the network.");
      }
      this.working = false;
      part("progress").hidden = true;
    }

    async once({ samples, title }, damage) {
      this.helper ??= new Helper();
      part("progress").hidden = false;
      part("progress").value = 0;
      const toNominal = NOMINAL / Math.sqrt(power(samples));
      const clean = damage === "none" ? null : samples.map((each) => each * toNominal);
      const noisy = clean ? await this.damaged(clean, damage) : samples;
      const { samples: estimate, seconds } = await this.helper.ask({ task: "denoise", samples: noisy }, (share) => { part("progress").value = share; });
      if (this.again) return;
      this.play(title, { ...(clean && { clean }), noisy, speech: estimate });
      const length = samples.length / RATE;
      part("speed").textContent = `${written(length, 1)} s denoised in ${seconds.toFixed(2)} s, ${(length / seconds).toFixed(1)} times as fast as they last, by one thread of this browser.`;
    }

    async damaged(clean, damage) {
      if (damage === "street") return this.onTheStreet(clean);
      const settings = { zero: this.setting("zero") / 100, raised: this.setting("raised") / 100, value: this.setting("value") };
      return (await this.helper.ask({ task: "damage", samples: clean, settings, seed: 1 })).samples;
    }

    // Street noise is what the page's noisy clips have more than its clean ones, one behind the other.
    async onTheStreet(clean) {
      this.noise ??= (await Promise.all(this.street.map(async (keys) => {
        const [noisy, still] = await Promise.all(keys.map((key) => stored({ key, source: soundSource(null, key) })));
        return [...noisy.samples.map((each, i) => each - still.samples[i])];
      }))).flat();
      const noise = clean.map((_, i) => this.noise[i % this.noise.length]);
      const factor = Math.sqrt(power(clean) / Math.max(power(noise), 1e-12) / 10 ** (this.setting("snr") / 10));
      return clean.map((each, i) => each + factor * noise[i]);
    }

    // ---- The player; where one was, place and version are kept

    play(title, versions) {
      const names = Object.keys(versions), peak = names.reduce((most, name) => versions[name].reduce((high, each) => Math.max(high, Math.abs(each)), most), 0);
      const gain = Math.min(1, PEAK / peak), turn = (this.turn = (this.turn ?? 0) + 1);
      const player = made({
        title: `${title[0].toUpperCase()}${title.slice(1)}, ${{ none: "as it is", fixed: "with the fixed damage", street: "on a street" }[this.damage]}`,
        seconds: versions.noisy.length / RATE,
        foot: `gain ${written(20 * Math.log10(gain), 1)} dB, the same for all versions`,
        versions: names.map((name) => ({
          name,
          colour: root.dataset[name],
          sound: { key: `voice-${turn}-${name}`, made: () => ({ rate: RATE, samples: versions[name].map((each) => each * gain) }) },
          scores: name === "clean" || !versions.clean ? {} : this.scores(versions[name], versions),
        })),
      });
      const before = part("player").querySelector(".player"), { transport } = swap(part("player"), player);
      if (!before) transport.select(names.indexOf("noisy"));
    }

    scores(estimate, { clean, noisy }) {
      return { wSDR: written(wsdr(estimate, clean, noisy), 3), "SI-SDR": `${written(siSdr(estimate, clean), 1)} dB` };
    }
  }

  root.querySelector("[data-part=needs]").hidden = true;
  root.querySelector(".voice").hidden = false;
  root.voice = new Voice();
})();
