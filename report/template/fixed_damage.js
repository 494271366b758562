// The fixed damage of denoise_lib/damage/corruption.py: of the largest coefficients some become 0, then
// of the smallest some become `value`. Positions come from keys, so that a slider moves and nothing else.

const NOMINAL = 0.05;  // RMS re full scale that speech is brought to, -26 dB

// Marks the `count` smallest values, of those marked in `among` where it is given.
function smallest(values, count, among = null) {
  const offered = among ? values.filter((_, i) => among[i]) : values.slice();
  const marked = new Uint8Array(values.length);
  if (count < 1) return marked;
  const limit = offered.sort()[count - 1];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < limit && (!among || among[i])) { marked[i] = 1; count--; }
  }
  for (let i = 0; i < values.length && count > 0; i++) {
    if (values[i] === limit && (!among || among[i])) { marked[i] = 1; count--; }
  }
  return marked;
}

const total = (marks) => marks.reduce((sum, mark) => sum + mark, 0);

// Uniform numbers from a seed: mulberry32.
function uniform(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class FixedDamage {
  constructor({ quantile = 0.9, zero = 0.2, raised = 0.5, value = 1 } = {}, size = 640, hop = 160) {
    Object.assign(this, { quantile, zero, raised, value });
    this.frames = new Frames(new Float64Array(size).fill(1), hop);
  }

  // Coefficients frame by frame, (frames, bins).
  spectrum(samples) {
    const { frames } = this, { bins } = frames, count = frames.count(samples.length);
    const real = new Float32Array(count * bins), imaginary = new Float32Array(count * bins);
    for (let frame = 0; frame < count; frame++) {
      const [re, im] = frames.analyse(samples, frame);
      real.set(re.subarray(0, bins), frame * bins);
      imaginary.set(im.subarray(0, bins), frame * bins);
    }
    return { count, real, imaginary };
  }

  // Marks of what becomes 0 and of what becomes `value`; drawn from a seed.
  draw({ real, imaginary }, seed = 0) {
    const n = real.length, large = Math.round((1 - this.quantile) * n), random = uniform(seed);
    const keys = () => Float64Array.from({ length: n }, random);
    const magnitude = Float32Array.from(real, (re, i) => -Math.hypot(re, imaginary[i]));
    const largest = smallest(magnitude, large);
    const zeroed = smallest(keys(), Math.round(this.zero * total(largest)), largest);
    const left = smallest(magnitude.map((each, i) => (zeroed[i] ? 0 : each)), large);
    const small = left.map((mark) => 1 - mark);
    const raised = smallest(keys(), Math.round(this.raised * total(small)), small);
    return { zeroed, raised };
  }

  // Samples at the nominal level -> as many damaged ones.
  apply(samples, seed = 0) {
    const spectrum = this.spectrum(samples), { zeroed, raised } = this.draw(spectrum, seed);
    const { bins } = this.frames, out = this.frames.synthesis(samples.length);
    const { count, real, imaginary } = spectrum;
    for (let i = 0; i < real.length; i++) {
      if (zeroed[i]) real[i] = imaginary[i] = 0;
      if (raised[i]) [real[i], imaginary[i]] = [this.value, 0];
    }
    for (let frame = 0; frame < count; frame++) {
      out.add(...[real, imaginary].map((each) => each.subarray(frame * bins, (frame + 1) * bins)));
    }
    return out.finish();
  }
}
