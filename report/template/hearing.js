// Beside each finding: buttons that play versions of one sentence, which go on at the same place.
(() => {
  "use strict";
  if (!window.denoisePlayers) return;
  const { Transport, players, haltOthers, soundSource } = window.denoisePlayers;

  for (const root of document.querySelectorAll(".hearing")) {
    const buttons = [...root.querySelectorAll("button")];
    const sounds = buttons.map(({ dataset: { heard: key } }) => ({ key, get source() { return soundSource(null, key); } }));
    const transport = new Transport(sounds, Number(root.dataset.seconds), () => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(transport.playing && transport.selected === index)));
    });
    transport.gains = buttons.map((button) => Number(button.dataset.gain));
    const player = { root, transport };
    players.add(player);
    buttons.forEach((button, index) => button.addEventListener("click", () => {
      if (transport.playing && transport.selected === index) { transport.halt(); return; }
      transport.select(index);
      if (transport.playing) return;
      haltOthers(player);
      transport.play().catch((error) => { console.error(error); transport.halt(); root.hidden = true; });
    }));
    root.hidden = false;
  }
})();
