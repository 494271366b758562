// The listening matrix: a tab for each damage, a row for each sentence, a column for each version, and
// one player below that plays the cell that was pressed.
(() => {
  "use strict";
  const root = document.querySelector("#listen"), text = document.querySelector("#matrix-data");
  if (!text || !window.denoisePlayers) return;
  const { made, swap, soundSource } = window.denoisePlayers;
  const { sentences, tabs } = JSON.parse(text.textContent);
  const sound = (key) => ({ key, get source() { return soundSource(null, key); } });

  function element(tag, attributes = {}, ...content) {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    one.append(...content);
    return one;
  }

  class Matrix {
    constructor() {
      [this.tab, this.row, this.version] = [0, 0, "noisy"];
      this.buttons = [...root.querySelectorAll("[role=tab]")];
      this.buttons.forEach((button, index) => {
        button.addEventListener("click", () => this.open(index));
        button.addEventListener("keydown", (event) => this.key(event, index));
      });
      // On a cell, space and enter press it; all other keys are the player's.
      root.querySelector(".matrix-grid").addEventListener("keydown", (event) => {
        if (event.key !== " " && event.key !== "Enter") this.player.key(event);
      });
      this.fill();
      this.load(true);
    }

    get versions() { return tabs[this.tab].versions.filter(({ name }) => name in tabs[this.tab].rows[this.row]); }

    // ---- Tabs

    open(index) {
      this.tab = index;
      if (!this.versions.length) this.row = tabs[index].rows.findIndex((row) => Object.keys(row).length);
      this.fill();
      this.load(true);
    }

    key(event, index) {
      const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      const next = (to + tabs.length) % tabs.length;
      this.open(next);
      this.buttons[next].focus();
      event.preventDefault();
    }

    // ---- The table

    fill() {
      const { versions, rows, missing } = tabs[this.tab], grid = root.querySelector(".matrix-grid");
      root.querySelector("[data-part=missing]").textContent = missing;
      this.buttons.forEach((button, index) => {
        button.setAttribute("aria-selected", String(index === this.tab));
        button.tabIndex = index === this.tab ? 0 : -1;
      });
      root.querySelector("#matrix-panel").setAttribute("aria-labelledby", `matrix-${this.tab}`);
      const heads = versions.map(({ written }) => element("th", { scope: "col" }, written));
      grid.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, "sentence"), ...heads));
      grid.tBodies[0].replaceChildren(...sentences.map(({ who, meaning }, row) => {
        const said = element("th", { scope: "row" }, who);
        if (meaning) said.append(element("small", {}, `“${meaning}”`));
        return element("tr", {}, said, ...versions.map((version) => this.cell(row, version, rows[row][version.name])));
      }));
    }

    cell(row, { name, written, colour }, held) {
      if (!held) return element("td", {}, "–");
      const words = name === "clean" ? "clean" : held.grid.replace(/\sdB$/, "");
      const label = `${written}, ${sentences[row].who}, sentence ${row + 1}${name === "clean" ? "" : `, SI-SDR ${held.grid}`}`;
      const button = element("button", { type: "button", "aria-label": label, "data-row": row, "data-version": name }, words);
      button.style.setProperty("--version", colour);
      button.addEventListener("click", () => this.press(row, name));
      return element("td", {}, button);
    }

    // A cell that plays pauses; any other one is heard.
    press(row, name) {
      if (row === this.row && name === this.version) { this.player.toggle(); return; }
      const same = row === this.row;
      [this.row, this.version] = [row, name];
      if (!same) this.load(false);
      this.player.transport.select(this.versions.findIndex((each) => each.name === name));
      if (!this.player.transport.playing) this.player.toggle();
    }

    mark() {
      for (const button of root.querySelectorAll(".matrix-grid button")) {
        const { row, version } = button.dataset;
        button.setAttribute("aria-pressed", String(Number(row) === this.row && version === this.version));
      }
    }

    // ---- The player below

    load(same) {
      const { name, hint, rows } = tabs[this.tab], { who, seconds } = sentences[this.row], { versions } = this;
      this.player = swap(root.querySelector("[data-part=player]"), made({
        title: `${who}: ${name}`,
        hint: `What to listen for: ${hint}`,
        seconds,
        versions: versions.map((version) => {
          const { key, scores } = rows[this.row][version.name];
          return { name: version.written, colour: version.colour, sound: sound(key), scores };
        }),
      }), same);
      const { player } = this, { transport } = player, show = transport.changed;
      if (this.loaded) this.version = versions[transport.selected].name;
      else transport.select(versions.findIndex((each) => each.name === this.version));
      this.loaded = true;
      transport.changed = () => {
        show();
        if (player !== this.player) return;
        this.version = versions[transport.selected].name;
        this.mark();
      };
      this.mark();
    }
  }

  // For the blind test: each sentence under each damage, {title, condition, seconds, sounds}.
  function clips() {
    return tabs.flatMap(({ name, condition, versions, rows }) => sentences.map(({ who, seconds }, row) => ({
      title: `${who}, sentence ${row + 1}: ${name}`,
      condition,
      seconds,
      sounds: Object.fromEntries(versions.filter((each) => each.name in rows[row]).map((each) => [each.written, sound(rows[row][each.name].key)])),
    })));
  }

  root.querySelector(".matrix-sounds").hidden = true;
  root.querySelector(".matrix").hidden = false;
  root.matrix = new Matrix();
  window.denoiseMatrix = { clips };
})();
