// Draws the QR code of each text (standard input: a JSON list) and prints what another program reads in the pictures.
import jsqr from "../npm/node_modules/jsqr/dist/jsQR.js";
import { qrCode } from "../../web/live-qr.js";

const SCALE = 3;
const MARGIN = 4;

function picture(rows) {
  const side = (rows.length + 2 * MARGIN) * SCALE;
  const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const dark = rows[Math.floor(y / SCALE) - MARGIN]?.[Math.floor(x / SCALE) - MARGIN];
      if (dark) pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
    }
  }
  return [pixels, side, side];
}

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const texts = JSON.parse(Buffer.concat(chunks).toString());
const read = jsqr.default ?? jsqr;
process.stdout.write(JSON.stringify(texts.map((text) => read(...picture(qrCode(text)))?.data ?? null)));
