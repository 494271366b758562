// The inner loop of a convolution, in WebAssembly with SIMD: five times as fast as JavaScript. It is put
// together here, instruction by instruction, so that the page needs no compiler and its source is read.
//
//   kernel(out, x, w, count, step, width): byte addresses and distances
//     for place in 0 .. 3, channel in 0 .. 7:
//       out[place, channel] += sum over i < count of x[place * step + i] * w[i, channel]
//   where neighbours in out's places, and in w's i, are `width` bytes apart, and all are 32-bit floats.

const PLACES = 4, VECTORS = 2;  // 4 places times 2 vectors of 4 channels are summed at once

function kernelBytes() {
  const [V128, I32] = [0x7b, 0x7f];
  // Numbers as LEB128, then instructions by their names in WebAssembly's text format.
  const leb = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >> 7)]);
  const vector = (code) => [0xfd, ...leb(code)];
  const get = (local) => [0x20, local], set = (local) => [0x21, local], constant = (n) => [0x41, n];
  const add = [0x6a], subtract = [0x6b], loop = [0x03, 0x40], again = [0x0d, 0], end = [0x0b];
  const load = (offset) => [...vector(0), 2, offset], splat = [...vector(9), 2, 0];
  const store = (offset) => [...vector(11), 2, offset], plus = vector(228), times = vector(230);

  // Parameters first, then locals: an address in x for each place, weights, one value of x, sums.
  const [out, x, w, count, step, width] = [0, 1, 2, 3, 4, 5];
  const address = (place) => (place === 0 ? x : 5 + place);
  const weights = (v) => 9 + v, value = 11, sum = (place, v) => 12 + place * VECTORS + v;
  const places = [...Array(PLACES).keys()], vectors = [...Array(VECTORS).keys()];
  const moved = (local, ...by) => [...get(local), ...by, ...add, ...set(local)];

  const body = [
    ...places.slice(1).flatMap((p) => [...get(address(p - 1)), ...get(step), ...add, ...set(address(p))]),
    ...loop,
    ...vectors.flatMap((v) => [...get(w), ...load(16 * v), ...set(weights(v))]),
    ...places.flatMap((p) => [
      ...get(address(p)), ...splat, ...set(value),
      ...vectors.flatMap((v) => [...get(sum(p, v)), ...get(value), ...get(weights(v)), ...times, ...plus, ...set(sum(p, v))]),
      ...moved(address(p), ...constant(4)),
    ]),
    ...moved(w, ...get(width)),
    ...get(count), ...constant(1), ...subtract, 0x22, count, ...again,  // 0x22: set and keep
    ...end,
    ...places.flatMap((p) => [
      ...vectors.flatMap((v) => [...get(out), ...get(out), ...load(16 * v), ...get(sum(p, v)), ...plus, ...store(16 * v)]),
      ...moved(out, ...get(width)),
    ]),
    ...end,
  ];
  const locals = [2, PLACES - 1, I32, VECTORS + 1 + PLACES * VECTORS, V128];
  const section = (id, ...content) => [id, ...leb(content.length), ...content];
  const code = [...locals, ...body];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, 1, 0x60, 6, I32, I32, I32, I32, I32, I32, 0),
    ...section(2, 1, 1, 0x6d, 1, 0x6d, 2, 0, 1),  // imports the memory "m" "m"
    ...section(3, 1, 0),
    ...section(7, 1, 1, 0x6b, 0, 0),  // exports "k"
    ...section(10, 1, ...leb(code.length), ...code),
  ]);
}

// Room for weights and activations, and the sums over them: by SIMD where the browser has it.
class Workshop {
  constructor(bytes = 2 ** 23, simd = true) {
    this.used = 16;
    try {
      if (!simd) throw Error("not wanted");
      const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
      const instance = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()), { m: { m: memory } });
      [this.buffer, this.kernel] = [memory.buffer, instance.exports.k];
    } catch (error) {
      [this.buffer, this.kernel] = [new ArrayBuffer(bytes), null];  // an old browser: it only takes longer
    }
  }

  floats(count) {
    const made = new Float32Array(this.buffer, this.used, count);
    this.used += 16 * Math.ceil(count / 4);
    return made;
  }

  // out[f, o] += sum over i < count of x[f * step + i] * w[first + i * outputs + o].
  accumulate(out, x, w, first, places, step, count, outputs) {
    const simd = this.kernel && outputs % (4 * VECTORS) === 0 && places % PLACES === 0;
    if (!simd) { this.slowly(out, x, w, first, places, step, count, outputs); return; }
    for (let o = 0; o < outputs; o += 4 * VECTORS) {
      for (let f = 0; f < places; f += PLACES) {
        this.kernel(
          out.byteOffset + 4 * (f * outputs + o), x.byteOffset + 4 * f * step,
          w.byteOffset + 4 * (first + o), count, 4 * step, 4 * outputs,
        );
      }
    }
  }

  slowly(out, x, w, first, places, step, count, outputs) {
    for (let f = 0; f < places; f++) {
      for (let o = 0; o < outputs; o += 4) {
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0, at = first + o; i < count; i++, at += outputs) {
          const value = x[f * step + i];
          a += value * w[at]; b += value * w[at + 1]; c += value * w[at + 2]; d += value * w[at + 3];
        }
        const to = f * outputs + o;
        out[to] += a; out[to + 1] += b; out[to + 2] += c; out[to + 3] += d;
      }
    }
  }
}
