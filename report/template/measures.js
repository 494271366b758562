// The measures of denoise_lib/metrics that the page takes itself, of samples at one rate.

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
const minus = (a, b) => a.map((each, i) => each - b[i]);

// wSDR as in denoise_lib/metrics/wsdr.py: -1 is perfect.
function wsdr(estimate, clean, noisy) {
  const away = (u, v) => -dot(u, v) / Math.sqrt(Math.max(dot(u, u) * dot(v, v), 1e-14));
  const noise = minus(noisy, clean), speech = dot(clean, clean);
  const weight = speech / Math.max(speech + dot(noise, noise), 1e-14);
  return weight * away(clean, estimate) + (1 - weight) * away(noise, minus(noisy, estimate));
}

// SI-SDR in dB; infinite for a perfect copy.
function siSdr(estimate, clean) {
  const share = dot(estimate, clean) / dot(clean, clean);
  const target = clean.map((each) => share * each), error = minus(estimate, target);
  return 10 * Math.log10(dot(target, target) / dot(error, error));
}

// Loudness after ITU-R BS.1770-4 in LUFS, of one channel at 48 kHz; -Infinity for silence.
function loudness(samples) {
  // The recommendation's two filters: what a head does to high sounds, and a high pass.
  const filters = [
    { b: [1.53512485958697, -2.69169618940638, 1.19839281085285], a: [-1.69065929318241, 0.73248077421585] },
    { b: [1, -2, 1], a: [-1.99004745483398, 0.99007225036621] },
  ];
  const rate = 48_000, step = rate / 10, powers = [];
  const states = [[0, 0], [0, 0]];
  let power = 0;
  for (let i = 0; i < samples.length; i++) {
    let x = samples[i];
    filters.forEach(({ b, a }, index) => {
      const state = states[index], y = b[0] * x + state[0];
      state[0] = b[1] * x - a[0] * y + state[1];
      state[1] = b[2] * x - a[1] * y;
      x = y;
    });
    power += x * x;
    if ((i + 1) % step === 0) { powers.push(power / step); power = 0; }
  }
  // Blocks of 400 ms, a new one every 100 ms; a shorter clip is one block.
  let blocks = powers.slice(3).map((each, i) => (powers[i] + powers[i + 1] + powers[i + 2] + each) / 4);
  if (!blocks.length) blocks = [(powers.reduce((sum, each) => sum + each * step, 0) + power) / samples.length];
  const level = (mean) => -0.691 + 10 * Math.log10(mean);
  const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;
  blocks = blocks.filter((each) => level(each) > -70);
  if (!blocks.length) return -Infinity;
  const gate = level(mean(blocks)) - 10;
  return level(mean(blocks.filter((each) => level(each) > gate)));
}
