// How loud speech is, as denoise_lib/recordings/level.py measures it, and the network on a recording of
// any level, as denoise_lib.enhance runs it.

const STRETCH = 320, RATE = 16_000;  // samples of which a power is taken; samples per second
const MARGIN_DB = 15.9, ABOVE_DB = 6, RARE = 1 / 0.02;  // what is a pause, and what counts as a thump
const LOWEST = -160, BIN_DB = 0.1, BINS = 3600;  // the histogram of powers, dB re full scale
const NEAR = 640;  // samples; further than that from any sound digital silence stays what it is

// RMS of active speech, and the constant part where it is more than a tenth of that.
function speechLevel(samples) {
  const counts = new Int32Array(BINS), means = [];
  for (let first = 0; first + STRETCH <= samples.length; first += STRETCH) {
    const stretch = samples.subarray(first, first + STRETCH);
    const mean = stretch.reduce((sum, each) => sum + each, 0) / STRETCH;
    const power = stretch.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (STRETCH - 1);
    means.push(mean);
    if (power > 10 ** (LOWEST / 10)) counts[Math.min(Math.floor((10 * Math.log10(power) - LOWEST) / BIN_DB), BINS - 1)]++;
  }
  if (!counts.some(Boolean)) return { level: Math.sqrt(samples.reduce((sum, each) => sum + each ** 2, 0) / samples.length), offset: 0 };
  const level = activeLevel(counts);
  means.sort((a, b) => a - b);
  const middle = means.length >> 1, median = means.length % 2 ? means[middle] : (means[middle - 1] + means[middle]) / 2;
  return { level, offset: samples.length >= RATE / 2 && Math.abs(median) > 0.1 * level ? median : 0 };
}

function activeLevel(counts) {
  const decibels = Float64Array.from(counts, (_, bin) => LOWEST + BIN_DB * (bin + 0.5));
  const all = counts.reduce((sum, each) => sum + each, 0);
  let common = BINS - 1;
  for (let louder = counts[common]; louder < Math.min(RARE, all / 4); louder += counts[--common]);
  const power = decibels.map((each) => 10 ** (Math.min(each, decibels[common] + ABOVE_DB) / 10));
  const mean = (lowest) => {
    let sum = 0, number = 0;
    counts.forEach((count, bin) => { if (decibels[bin] >= lowest) { sum += count * power[bin]; number += count; } });
    return sum / Math.max(1, number);
  };
  let level = mean(-Infinity);
  for (let turn = 0, before = null; turn < 50 && before !== level; turn++) {
    before = level;
    level = mean(10 * Math.log10(level) - MARGIN_DB);
  }
  return Math.sqrt(level);
}

// Samples at 16 kHz -> as many denoised ones.
function enhance(network, samples, told) {
  const { level, offset } = speechLevel(samples), out = new Float32Array(samples.length);
  if (!(level > 0)) return out;
  const gain = NOMINAL / level, heard = samples.map((each) => each - offset);
  const estimate = network.denoise(heard.map((each) => each * gain), told);
  let last = -Infinity, next = 0;  // the nearest samples before and behind that are not zero
  for (let i = 0; i < samples.length; i++) {
    if (heard[i]) last = i;
    while (next < samples.length && (next < i || !heard[next])) next++;
    if (i - last <= NEAR || next - i <= NEAR) out[i] = estimate[i] / gain;
  }
  return out;
}
