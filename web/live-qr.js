// A QR code (ISO/IEC 18004) of a short text: bytes, error correction M, versions 1 to 10.
// text → bits → codewords with Reed-Solomon remainders → modules, in the mask that scans best.

/** Of each version: error correction codewords a block, blocks of the short kind, their data codewords, long blocks. */
const VERSIONS = [
  [10, 1, 16, 0], [16, 1, 28, 0], [26, 1, 44, 0], [18, 2, 32, 0], [24, 2, 43, 0],
  [16, 4, 27, 0], [18, 4, 31, 0], [22, 2, 38, 2], [22, 3, 36, 2], [26, 4, 43, 1],
];
const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/** Rows of true (dark) and false; throws RangeError for a text that is too long. */
export function qrCode(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const version = VERSIONS.findIndex((_, index) => bytes.length <= roomFor(index + 1)) + 1;
  if (!version) throw new RangeError("too long for a QR code");
  const bits = interleaved(version, dataCodewords(version, bytes)).flatMap((byte) => bitsOf(byte, 8));
  const drawn = MASKS.map((_, mask) => draw(version, bits, mask));
  return drawn.reduce((best, next) => (penalty(next) < penalty(best) ? next : best));
}

const lengthBits = (version) => (version < 10 ? 8 : 16);
const capacity = (version) => {
  const [, short, data, long] = VERSIONS[version - 1];
  return short * data + long * (data + 1);
};
const roomFor = (version) => Math.floor((capacity(version) * 8 - 4 - lengthBits(version)) / 8);
const bitsOf = (value, count) => Array.from({ length: count }, (_, i) => (value >> (count - 1 - i)) & 1);

function dataCodewords(version, bytes) {
  const bits = [...bitsOf(4, 4), ...bitsOf(bytes.length, lengthBits(version)), ...bytes.flatMap((byte) => bitsOf(byte, 8))];
  const whole = capacity(version) * 8;
  bits.push(...bitsOf(0, Math.min(4, whole - bits.length)));
  bits.push(...bitsOf(0, -bits.length & 7));
  for (let pad = 0xec; bits.length < whole; pad ^= 0xec ^ 0x11) bits.push(...bitsOf(pad, 8));
  return Array.from({ length: whole / 8 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8).join(""), 2));
}

function interleaved(version, data) {
  const [checks, short, size, long] = VERSIONS[version - 1];
  const sizes = [...Array(short).fill(size), ...Array(long).fill(size + 1)];
  let at = 0;
  const blocks = sizes.map((length) => data.slice(at, (at += length)));
  const remainders = blocks.map((block) => remainder(block, checks));
  const column = (rows, i) => rows.map((row) => row[i]).filter((byte) => byte !== undefined);
  const columns = (rows, count) => Array.from({ length: count }, (_, i) => column(rows, i)).flat();
  return [...columns(blocks, size + 1), ...columns(remainders, checks)];
}

/** Multiplication in GF(256) modulo x⁸ + x⁴ + x³ + x² + 1. */
function times(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> bit) & 1) * a;
  }
  return product;
}

function remainder(block, count) {
  const divisor = [...Array(count - 1).fill(0), 1];
  for (let i = 0, root = 1; i < count; i++, root = times(root, 2)) {
    divisor.forEach((_, j) => { divisor[j] = times(divisor[j], root) ^ (divisor[j + 1] ?? 0); });
  }
  const rest = Array(count).fill(0);
  for (const byte of block) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    divisor.forEach((each, j) => { rest[j] ^= times(each, factor); });
  }
  return rest;
}

// ---------------------------------------------------------------- modules

function draw(version, bits, mask) {
  const size = version * 4 + 17;
  const dark = Array.from({ length: size }, () => Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => Array(size).fill(false));
  const set = (x, y, value) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    dark[y][x] = Boolean(value);
    fixed[y][x] = true;
  };
  patterns(version, size, set);
  formatBits(size, mask, set);
  let at = 0;
  for (const [x, y] of zigzag(size)) {
    if (!fixed[y][x]) dark[y][x] = Boolean((bits[at++] ?? 0) ^ (MASKS[mask](x, y) === 0));
  }
  return dark;
}

function patterns(version, size, set) {
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  const centers = alignment(version, size);
  const corner = (x, y) => (x === 6 && y === 6) || (x === 6 && y === size - 7) || (x === size - 7 && y === 6);
  for (const x of centers) for (const y of centers) if (!corner(x, y)) rings(x, y, 2, [0, 2], set);
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) rings(x, y, 4, [0, 1, 3], set);
  if (version >= 7) versionBits(version, size, set);
}

function alignment(version, size) {
  if (version === 1) return [];
  return version < 7 ? [6, size - 7] : [6, (size - 1) / 2, size - 7];
}

function rings(x, y, radius, darkAt, set) {
  for (let dx = -radius; dx <= radius; dx++) {
    for (let dy = -radius; dy <= radius; dy++) set(x + dx, y + dy, darkAt.includes(Math.max(Math.abs(dx), Math.abs(dy))));
  }
}

function checked(value, count, divisor) {
  let rest = value;
  for (let i = 0; i < count; i++) rest = (rest << 1) ^ ((rest >> (count - 1)) * divisor);
  return (value << count) | rest;
}

function formatBits(size, mask, set) {
  const bits = checked(mask, 10, 0x537) ^ 0x5412; // correction M is 00
  const bit = (i) => (bits >> i) & 1;
  for (let i = 0; i <= 5; i++) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(8, size - 15 + i, bit(i));
  set(8, size - 8, 1);
}

function versionBits(version, size, set) {
  const bits = checked(version, 12, 0x1f25);
  for (let i = 0; i < 18; i++) {
    const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
    set(a, b, (bits >> i) & 1);
    set(b, a, (bits >> i) & 1);
  }
}

function* zigzag(size) {
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5; // the timing pattern
    const upward = ((right + 1) & 2) === 0;
    for (let i = 0; i < size; i++) for (const x of [right, right - 1]) yield [x, upward ? size - 1 - i : i];
  }
}

/** How hard a code is to scan: long runs, blocks, what looks like a corner, too much of one shade. */
function penalty(dark) {
  const size = dark.length;
  const columns = dark[0].map((_, x) => dark.map((row) => row[x]));
  const lines = [...dark, ...columns].map((line) => line.map(Number).join(""));
  let sum = 0;
  for (const line of lines) {
    for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
    sum += 40 * [...line.matchAll(/(?=10111010000|00001011101)/g)].length;
  }
  for (let y = 1; y < size; y++) {
    for (let x = 1; x < size; x++) {
      const square = [dark[y][x], dark[y - 1][x], dark[y][x - 1], dark[y - 1][x - 1]];
      if (square.every(Boolean) || !square.some(Boolean)) sum += 3;
    }
  }
  const share = dark.flat().filter(Boolean).length / size ** 2;
  return sum + 10 * Math.floor(Math.abs(share - 0.5) * 20);
}

/** The code as a drawing with its margin of four modules. */
export function qrDrawing(text, label) {
  const rows = qrCode(text);
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  const size = rows.length + 8;
  const squares = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4},${y + 4}h1v1h-1z` : "")));
  path.setAttribute("d", squares.join(""));
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label })) {
    svg.setAttribute(name, value);
  }
  svg.append(path);
  return svg;
}
