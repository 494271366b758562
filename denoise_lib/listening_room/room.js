// The listening room's part in the browser: a player that takes the place of another goes on where
// that one was, and the microphone.
(() => {
  "use strict";
  if (window.denoiseRoom) return;

  const players = new Map();  // room -> {player, wish}: the last player, the version one listens to

  const nameOf = (player, index) => player.versions[index]?.querySelector("figcaption").textContent;

  // An output's scripts may run before it is part of the document.
  function whenThere(selector, found, tries = 100) {
    const element = document.querySelector(selector);
    if (element) found(element);
    else if (tries > 0) requestAnimationFrame(() => whenThere(selector, found, tries - 1));
  }

  function attach(room) {
    whenThere(`.${room}-player .player:not([data-attached])`, (root) => {
      root.dataset.attached = "";
      window.denoisePlayers.start();
      const before = players.get(room);
      const now = { player: root.player, wish: nameOf(root.player, 0), given: 0 };
      players.set(room, now);
      // What a player did when it left the document is not what the listener wanted.
      const { transport } = now.player;
      const halt = transport.halt;
      transport.halt = function (...position) {
        if (!root.isConnected && this.playing) now.cut = true;
        return halt.apply(this, position);
      };
      if (before) follow(before, now);
    });
  }

  function follow(before, now) {
    const old = before.player.transport;
    const { transport } = now.player;
    const playing = old.playing || before.cut;
    const position = Math.min(old.position, transport.seconds);
    if (old.playing) old.halt();
    // A version that is computed still is not there; it is chosen when it comes back.
    now.wish = old.selected === before.given ? before.wish : nameOf(before.player, old.selected);
    const index = now.player.versions.findIndex((_, i) => nameOf(now.player, i) === now.wish);
    now.given = index >= 0 ? index : Math.min(1, now.player.versions.length - 1);
    transport.select(now.given);
    if (old.seconds === transport.seconds) transport.setLoop(old.loop, old.region ?? null);
    transport.seek(position);
    // Loudness matching and the difference, where the player has them.
    const [was, tools] = [before.player.tools, now.player.tools];
    if (was?.matched) tools.toggleMatch();
    if (was?.comparing) {
      const same = now.player.versions.findIndex((_, i) => nameOf(now.player, i) === nameOf(before.player, Number(was.reference.value)));
      tools.reference.value = Math.max(same, 0);
      tools.toggleDifference();
    }
    if (playing) now.player.toggle();
  }

  function microphone(room, seconds) {
    whenThere(`.${room}-microphone .room-microphone`, (root) => {
      const button = root.querySelector("button");
      const status = root.querySelector("[role=status]");
      if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
        button.disabled = true;
        status.textContent = "This browser offers no microphone here: it needs one, and an address that starts with https or is localhost.";
        return;
      }
      let recorder = null;
      button.addEventListener("click", async () => {
        if (recorder) { recorder.stop(); return; }
        try {
          recorder = await record(status, button, seconds);
          const recording = await recorder.recording;
          status.textContent = "";
          deliver(room, recording);
        } catch (error) {
          status.textContent = error.name === "NotAllowedError"
            ? "The browser was not allowed to use the microphone: allow it in its settings for this address."
            : `The microphone cannot be used (${error.message || error.name}).`;
        } finally {
          recorder = null;
          button.textContent = "record";
        }
      });
    });
  }

  // Resolves to {stop, recording}: a function, and the promise of a data URI.
  async function record(status, button, seconds) {
    // As it sounds: the browser's own denoising would spoil what is studied here.
    const asIs = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: asIs });
    const recorder = new MediaRecorder(stream);
    const parts = [];
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    const stop = () => { if (recorder.state !== "inactive") recorder.stop(); };
    const limit = setTimeout(stop, 1000 * seconds);
    const recording = new Promise((resolve, reject) => {
      recorder.addEventListener("error", (event) => reject(event.error ?? new Error("recording failed")));
      recorder.addEventListener("stop", () => {
        clearTimeout(limit);
        stream.getTracks().forEach((track) => track.stop());
        const reader = new FileReader();
        reader.addEventListener("load", () => resolve(reader.result));
        reader.readAsDataURL(new Blob(parts, { type: recorder.mimeType }));
      });
    });
    recorder.start();
    button.textContent = "stop";
    status.textContent = `recording, at most ${seconds} s`;
    return { stop, recording };
  }

  // The hidden text of the room carries the recording to the kernel.
  function deliver(room, recording) {
    const text = document.querySelector(`.${room}-recorded textarea`);
    text.value = recording;
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.dispatchEvent(new Event("change", { bubbles: true }));
  }

  window.denoiseRoom = { attach, microphone };
})();
