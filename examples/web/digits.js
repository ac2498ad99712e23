import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

const SIDE = 8; // of the images that the network was trained on
const canvas = document.querySelector("canvas");
const said = document.querySelector("output");
const context = canvas.getContext("2d", { willReadFrequently: true });
const block = canvas.width / SIDE;
let model;

// Each pixel of an image is the share of its 4×4 dots that are drawn, as in the data set.
function pixels() {
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const image = new Float32Array(SIDE * SIDE);
  for (let y = 0; y < canvas.height; y++) {
    for (let x = 0; x < canvas.width; x++) {
      const place = Math.floor(y / block) * SIDE + Math.floor(x / block);
      image[place] += data[4 * (y * canvas.width + x)] / 255 / block ** 2;
    }
  }
  return image;
}

async function classify() {
  const input = new Tensor(pixels(), [1, SIDE, SIDE, 1]);
  const [output] = await model.run([input]);
  const scores = Array.from(await output.data());
  input.delete();
  output.delete();
  said.textContent = `This looks like ${scores.indexOf(Math.max(...scores))}.`;
  document.querySelector("ul").replaceChildren(
    ...scores.map((score, digit) => {
      const row = document.createElement("li");
      row.textContent = `${digit} `;
      const bar = document.createElement("meter");
      bar.value = score;
      row.append(bar);
      return row;
    }),
  );
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top].map((value) => (value / box.width) * canvas.width);
}

canvas.addEventListener("pointerdown", (event) => {
  context.beginPath();
  context.moveTo(...place(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  context.lineTo(...place(event));
  context.strokeStyle = "white";
  context.lineWidth = 3;
  context.lineCap = context.lineJoin = "round";
  context.stroke();
});
canvas.addEventListener("pointerup", classify);
document.querySelector("button").addEventListener("click", () => {
  context.clearRect(0, 0, canvas.width, canvas.height);
  said.textContent = "Draw a digit.";
});

try {
  await loadLiteRt("./node_modules/@litertjs/core/wasm/");
  model = await loadAndCompile("digits.tflite", { accelerator: "wasm" });
  said.textContent = "Draw a digit.";
} catch (error) {
  said.textContent = `Cannot load digits.tflite: ${error.message}`;
}
