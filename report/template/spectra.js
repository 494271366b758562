// Fourier transforms and overlap-add, as torch.stft and torch.istft do them; used by the network and
// by the fixed damage, which run in a worker of the page.

// In place, complex; the length is a power of two. sign: -1 forward, 1 back (not divided by the length).
const turns = new Map();

function powerOfTwoTransform(real, imaginary, sign) {
  const n = real.length;
  if (!turns.has(n)) {
    turns.set(n, {
      cosine: Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n)),
      sine: Float64Array.from({ length: n / 2 }, (_, k) => Math.sin((2 * Math.PI * k) / n)),
    });
  }
  const { cosine, sine } = turns.get(n);
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      let kept = real[i]; real[i] = real[j]; real[j] = kept;
      kept = imaginary[i]; imaginary[i] = imaginary[j]; imaginary[j] = kept;
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2, step = n / size;
    for (let first = 0; first < n; first += size) {
      for (let k = 0; k < half; k++) {
        const c = cosine[k * step], s = sign * sine[k * step], a = first + k, b = a + half;
        const x = real[b] * c - imaginary[b] * s, y = real[b] * s + imaginary[b] * c;
        real[b] = real[a] - x; imaginary[b] = imaginary[a] - y;
        real[a] += x; imaginary[a] += y;
      }
    }
  }
}

// The same for a length that is an odd number times a power of two, such as 640: every odd-th sample
// is transformed by itself, and the parts are put together.
function transform(real, imaginary, sign) {
  const n = real.length;
  let odd = n;
  while (odd % 2 === 0) odd /= 2;
  if (odd === 1) { powerOfTwoTransform(real, imaginary, sign); return; }
  const short = n / odd, parts = [];
  for (let r = 0; r < odd; r++) {
    const part = [real, imaginary].map((from) => Float64Array.from({ length: short }, (_, i) => from[odd * i + r]));
    powerOfTwoTransform(...part, sign);
    parts.push(part);
  }
  real.fill(0);
  imaginary.fill(0);
  for (let r = 0; r < odd; r++) {
    const [re, im] = parts[r];
    for (let k = 0; k < n; k++) {
      const angle = (2 * Math.PI * ((r * k) % n)) / n, c = Math.cos(angle), s = sign * Math.sin(angle);
      const x = re[k % short], y = im[k % short];
      real[k] += x * c - y * s;
      imaginary[k] += x * s + y * c;
    }
  }
}

// What cuts a signal into frames and puts frames together: centred, with silence at both ends.
class Frames {
  // window: analysis and synthesis window, as long as a frame.
  constructor(window, hop) {
    Object.assign(this, { window, hop, size: window.length, bins: window.length / 2 + 1 });
    this.real = new Float64Array(this.size);
    this.imaginary = new Float64Array(this.size);
  }

  count(samples) { return 1 + Math.floor(samples / this.hop); }

  // Spectrum of a frame: two arrays of `bins`; they are written over by the next call.
  analyse(samples, frame) {
    const { window, size, real, imaginary } = this, first = frame * this.hop - size / 2;
    for (let i = 0; i < size; i++) real[i] = (samples[first + i] ?? 0) * window[i];
    imaginary.fill(0);
    transform(real, imaginary, -1);
    return [real, imaginary];
  }

  // Puts frames together that are given one by one; `finish` returns the samples.
  synthesis(length) {
    const { window, size, hop, bins } = this;
    const sum = new Float64Array(length), weights = new Float64Array(length);
    let frame = 0;
    return {
      add: (real, imaginary) => {
        const x = new Float64Array(size), y = new Float64Array(size);
        for (let k = 0; k < bins; k++) {
          // Of a real signal, the first and the last coefficient are real.
          const y0 = k === 0 || k === bins - 1 ? 0 : imaginary[k];
          x[k] = real[k]; y[k] = y0;
          if (k && k < bins - 1) { x[size - k] = real[k]; y[size - k] = -y0; }
        }
        transform(x, y, 1);
        const first = frame++ * hop - size / 2;
        for (let i = Math.max(0, -first); i < size && first + i < length; i++) {
          sum[first + i] += (x[i] / size) * window[i];
          weights[first + i] += window[i] ** 2;
        }
      },
      finish: () => Float32Array.from(sum, (value, i) => (weights[i] > 1e-11 ? value / weights[i] : 0)),
    };
  }
}
