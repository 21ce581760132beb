/** Encode values of applications (files, bytes, arrays, objects) as JSON, or as the bytes of a file. */

/**
 * The raw value of a modality: a text, a file, a row by column or in column order, a time series; null is
 * absent. A `Blob`, a `File`, a `Uint8Array` and an `ArrayBuffer` are the bytes of a file; other typed arrays
 * are numbers.
 *
 * @typedef {string | String | Blob | ArrayBufferView | ArrayBuffer | readonly unknown[] | { readonly [column: string]: unknown } | null | undefined} Value
 */

/** @typedef {{ readonly [modality: string]: Value }} Inputs Raw values by modality. */
/** @typedef {null | boolean | number | string | unknown[] | { [name: string]: unknown }} JsonValue */

// A text that ends like this is a path that was meant to be a file, if it has no space or begins like a path.
const PATH =
  /^(?:\S+|(?:[./~\\]|[A-Za-z]:[\\/]).*)\.(?:avif|bmp|csv|dcm|gif|heic|heif|jpe?g|json|npy|png|tiff?|txt|wav|webp)$/i;
const BASE64_BYTES = 0x8000; // arguments of one call

/**
 * Encode the values without absent modalities. Messages of errors name the modality. Throws TypeError also for
 * what has no modalities by name: a Map would be an empty sample, and an array one with the modality '0'.
 *
 * @param {Inputs} inputs
 * @returns {Map<string, JsonValue | Blob>}
 */
export function encodeValues(inputs) {
  if (!isPlainObject(inputs)) {
    throw new TypeError(`expected an object of values by modality, got ${describeType(inputs)}`);
  }
  /** @type {Map<string, JsonValue | Blob>} */
  const values = new Map();
  for (const [name, value] of Object.entries(inputs)) {
    try {
      const encoded = encodeValue(value);
      if (encoded !== null) values.set(name, encoded);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new TypeError(`modality '${name}': ${error.message}`, { cause: error });
    }
  }
  return values;
}

/**
 * @param {Value} value
 * @returns {JsonValue | Blob}
 */
function encodeValue(value) {
  if (value instanceof Blob) return value;
  // Not of a SharedArrayBuffer, whose bytes may change while they are sent: a copy.
  if (value instanceof Uint8Array) return new Blob([new Uint8Array(value)]);
  if (value instanceof ArrayBuffer) return new Blob([value]);
  if (typeof value === "string" && PATH.test(value)) {
    const quoted = JSON.stringify(value);
    throw new TypeError(
      `use await openFile(${quoted}) of tailfuse-client/node for a file, ` +
        `or new String(${quoted}) for a text that looks like a path`,
    );
  }
  return toJson(value instanceof String ? value.valueOf() : value);
}

/**
 * Convert to JSON; NaN and undefined become null. Unlike JSON.stringify it refuses what it cannot convert:
 * a Map would be an empty object, and an infinity a missing value.
 *
 * @param {unknown} value
 * @returns {JsonValue}
 */
function toJson(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isNaN(value)) return null;
    if (Number.isFinite(value)) return value;
    throw new TypeError(`${value} cannot be sent; expected a finite number, NaN or null`);
  }
  if (Array.isArray(value)) return Array.from(value, toJson); // also of a sparse array
  if (isNumberArray(value)) return Array.from(value, toJson);
  if (isPlainObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toJson(each)]));
  }
  throw new TypeError(`a value of type ${describeType(value)} cannot be sent`);
}

/**
 * Return the type of a value in one word, for a message.
 *
 * @param {unknown} value
 * @returns {string}
 */
function describeType(value) {
  if (value === null) return "null";
  return typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
}

/**
 * @param {unknown} value
 * @returns {value is Iterable<number>} a typed array of numbers; one of bytes is a file
 */
function isNumberArray(value) {
  return ArrayBuffer.isView(value) && Symbol.iterator in value && !(value instanceof Uint8Array);
}

/**
 * @param {unknown} value
 * @returns {value is object}
 */
function isPlainObject(value) {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // One of another realm, such as a frame or a worker, has a prototype of its own that ends the chain.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Encode values as the JSON of one sample, files in base64.
 *
 * @param {Map<string, JsonValue | Blob>} values
 * @returns {Promise<string>}
 */
export async function encodeSample(values) {
  /** @type {{ [name: string]: JsonValue }} */
  const inputs = {};
  for (const [name, value] of values) {
    const encoded = value instanceof Blob ? await encodeBase64(value) : value;
    Object.defineProperty(inputs, name, { value: encoded, enumerable: true }); // also one called __proto__
  }
  return JSON.stringify({ inputs });
}

/**
 * @param {Blob} file
 * @returns {Promise<string>}
 */
async function encodeBase64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += BASE64_BYTES) {
    text += String.fromCharCode(...bytes.subarray(start, start + BASE64_BYTES));
  }
  return btoa(text);
}
