// Sets of pieces: one byte a piece here, one bit in base64 on the wire. Pure.

/** Fill `into` from a bitset in base64; its lowest bit is piece 0. Return how many are set. */
export function unpack(text, into) {
  const packed = atob(text || "");
  const size = Math.min(into.length, packed.length * 8);
  let count = 0;
  into.fill(0);
  for (let piece = 0; piece < size; piece += 1) {
    if ((packed.charCodeAt(piece >> 3) >> (piece & 7)) & 1) {
      into[piece] = 1;
      count += 1;
    }
  }
  return count;
}
