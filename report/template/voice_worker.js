// What runs beside the page: damage and network, so that the page answers meanwhile.
{
  let held = null;  // the network's {config, weights}, sent once
  const tasks = {
    hold: ({ config, weights }) => { held = { config, weights: halves(weights) }; return {}; },
    damage: ({ samples, settings, seed }) => ({ samples: new FixedDamage(settings).apply(samples, seed) }),
    denoise: ({ samples }, told) => {
      const begun = performance.now();
      const estimate = enhance(new CausalNet(held.config, held.weights), samples, told);
      return { samples: estimate, seconds: (performance.now() - begun) / 1000 };
    },
  };
  self.addEventListener("message", ({ data }) => {
    const told = (share) => self.postMessage({ id: data.id, share });
    try {
      self.postMessage({ id: data.id, done: tasks[data.task](data, told) });
    } catch (error) {
      self.postMessage({ id: data.id, failed: String(error) });
    }
  });
}
