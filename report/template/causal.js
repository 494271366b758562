// The causal network of denoise_lib/models/causal.py, for use: batch norms are folded into the
// convolutions, and frames go through one at a time. Activations of a frame lie as (freq, channels).

const SLOPE = 0.1, FLOOR = 1e-8;  // as in causal.py

// 16-bit floats from base64.
function halves(text) {
  const bytes = atob(text.trim()), values = new Float32Array(bytes.length / 2);
  const powers = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
  for (let i = 0; i < values.length; i++) {
    const word = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8), exponent = (word >> 10) & 31;
    const size = ((word & 1023) + (exponent ? 1024 : 0)) * powers[exponent];
    values[i] = word >> 15 ? -size : size;
  }
  return values;
}

// A convolution over frames up to the present one, then a leaky ReLU where it is `active`; where
// `residual`, added to its input.
class Convolution {
  // take(n): the next n weights; room: a Workshop; freq: places of the input, taps: over them, frames: over time.
  constructor(room, take, { inputs, outputs, freq, frames = 1, taps = 1, stride = 1, dilation = 1, active = true, residual = false }) {
    Object.assign(this, { room, inputs, outputs, frames, taps, stride, dilation, active, residual });
    this.places = freq / stride;
    this.out = room.floats(this.places * outputs);
    this.weights = take(frames * taps * inputs * outputs);  // (frames, taps, inputs, outputs)
    this.bias = take(outputs);
    this.pad = (taps >> 1) * inputs;
    // The frames that are looked back to, with zeros at both ends of each; nothing was before.
    const past = (frames - 1) * dilation;
    this.ring = Array.from({ length: past + 1 }, () => room.floats(freq * inputs + 2 * this.pad));
    this.now = past;
  }

  // A frame (freq, inputs) -> (freq / stride, outputs), which the next frame writes over.
  push(x) {
    const { inputs, outputs, frames, taps, stride, dilation, ring, places, out } = this, count = taps * inputs;
    ring[this.now % ring.length].set(x, this.pad);
    for (let f = 0; f < places; f++) out.set(this.bias, f * outputs);
    for (let k = 0; k < frames; k++) {
      const heard = ring[(this.now - (frames - 1 - k) * dilation) % ring.length];
      this.room.accumulate(out, heard, this.weights, k * count * outputs, places, stride * inputs, count, outputs);
    }
    this.now++;
    if (this.active) for (let i = 0; i < out.length; i++) if (out[i] < 0) out[i] *= SLOPE;
    if (this.residual) for (let i = 0; i < out.length; i++) out[i] += x[i];
    return out;
  }
}

class CausalNet {
  // config: arguments of CausalNet in causal.py; weights: all of them in the order in which they are used.
  constructor({ n_fft, hop, widths, frames, dilations, fine = [], keep }, weights, room = new Workshop()) {
    let used = 0;
    const take = (n) => {
      const taken = room.floats(n);
      taken.set(weights.subarray(used, (used += n)));
      return taken;
    };
    const window = Float64Array.from({ length: n_fft }, (_, i) => Math.sqrt(0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n_fft)));
    this.keep = keep;
    this.stft = new Frames(window, hop);
    let freq = n_fft / 2, inputs = 3;
    this.encoder = widths.map((outputs, index) => {
      const layer = new Convolution(room, take, { inputs, outputs, freq, frames: frames[index], taps: 5, stride: 2 });
      [freq, inputs] = [freq / 2, outputs];
      return layer;
    });
    const lookingBack = (dilation) => new Convolution(room, take, { inputs, outputs: inputs, freq, frames: 3, taps: 3, dilation, residual: true });
    this.middle = dilations.map(lookingBack);
    this.up = [];
    this.decoder = [];
    for (const outputs of widths.slice(0, -1).reverse()) {
      this.up.push(new Convolution(room, take, { inputs, outputs: 2 * outputs, freq, active: false }));
      [freq, inputs] = [2 * freq, outputs];
      this.decoder.push(new Convolution(room, take, { inputs, outputs, freq, taps: 3, residual: true }));
    }
    this.fine = fine.map(lookingBack);
    this.last = new Convolution(room, take, { inputs, outputs: 4, freq, taps: 3, active: false });
    if (used !== weights.length) throw Error(`the network has ${used} weights, and ${weights.length} are there`);
  }

  // (freq, 3) -> real and imaginary part, (freq, 2). Twice the channels are two places beside each other.
  factor(x) {
    const skips = [];
    for (const layer of this.encoder) skips.push((x = layer.push(x)));
    skips.pop();
    for (const layer of this.middle) x = layer.push(x);
    this.up.forEach((up, index) => {
      x = up.push(x);
      const skip = skips.pop();
      for (let i = 0; i < x.length; i++) x[i] += skip[i];
      x = this.decoder[index].push(x);
    });
    for (const layer of this.fine) x = layer.push(x);
    return this.last.push(x);
  }

  // Samples at the nominal level to as many denoised ones; told(share) is called now and then.
  denoise(samples, told = () => {}) {
    const { stft } = this, bins = stft.bins - 1, x = new Float32Array(bins * 3);
    const frames = stft.count(samples.length + stft.size / 2), out = stft.synthesis(samples.length);
    for (let frame = 0; frame < frames; frame++) {
      const [real, imaginary] = stft.analyse(samples, frame);
      for (let k = 0; k < bins; k++) {
        const power = real[k] ** 2 + imaginary[k] ** 2 + FLOOR, compress = power ** -0.35;
        x[3 * k] = real[k] * compress;
        x[3 * k + 1] = imaginary[k] * compress;
        x[3 * k + 2] = 0.2 * Math.log(power) + 1;
      }
      const factor = this.factor(x);
      for (let k = 0; k < bins; k++) {
        const re = 1 + factor[2 * k] * (1 - this.keep), im = factor[2 * k + 1] * (1 - this.keep);
        const value = real[k] * re - imaginary[k] * im;
        imaginary[k] = real[k] * im + imaginary[k] * re;
        real[k] = value;
      }
      out.add(real, imaginary);
      if (frame % 16 === 0) told(frame / frames);
    }
    return out.finish();
  }
}
