/** The types that the console's modules share. Browsers never load this file. */
import type { components } from "../../../client-js/types/openapi.d.ts";
import type { Problem } from "./requests.js";
import type { Sample } from "./sample.js";

type Schemas = components["schemas"];
export type Answer = Schemas["Answer"];
export type Explanation = Schemas["Explanation"];
export type ProblemBody = Schemas["Problem"];
export type BatchResult = Answer | ProblemBody;
export type Modality = Schemas["ModelInfo"]["modalities"][string];
export type ImageModality = Extract<Modality, { kind: "image" }>;
export type TabularModality = Extract<Modality, { kind: "tabular" }>;
export type TextModality = Extract<Modality, { kind: "text" }>;
export type SeriesModality = Extract<Modality, { kind: "series" }>;
export type Column = TabularModality["columns"][number];
export type NumberColumn = Extract<Column, { type: "number" }>;
/** Raw values by modality, as `inputs` of a request has them. */
export type Inputs = Record<string, unknown>;

/** A histogram of an input; `counts` are below, between and above the edges, and of missing values. */
export interface InputReference { name: string; edges: number[]; counts: number[] }
export interface Histogram { edges: number[]; counts: number[] }
/** How a modality was on the evaluated rows. */
export interface Reference {
  presence: number; weight: Histogram; confidence: Histogram;
  weight_mean: number | null; confidence_mean: number | null; inputs: InputReference[];
}

/** What GET /console/model.json answers: GET /model, and what only this page needs. */
export type Schema = Schemas["ModelInfo"] & {
  examples: Inputs[];
  /** The classes of the examples, where they are rows; null where an older bundle does not say. */
  example_labels: (string | null)[];
  /** Whether the examples are rows of the test split; else they are plausible values. */
  examples_are_rows: boolean;
  /** Whether the service sends the report of a bundle. */
  shares_report: boolean;
  reference: Record<string, Reference>;
  limits: { max_body_bytes: number; max_items: number; max_pixels: number };
};

/** `on…` are listeners, `true` and `false` set and leave out an attribute; all others are its text. */
export type Props = Record<string, string | number | boolean | null | undefined | ((event: any) => void)>;
export type Child = Node | string | number | null | undefined;

/** What a view gets. */
export interface App {
  /** The chosen model's inputs, classes, examples and limits. */
  schema: Schema;
  model: { name: string; version: string };
  /** The sample that all views show: raw values by modality. */
  sample: Sample;
  /** Turn a route of a prediction, "/predict", into that of the chosen model. */
  modelPath(route: string): string;
  /** Ask the service: adds the key, asks for one after 401. Returns JSON parsed, or text. Throws Problem. */
  request(path: string, init?: RequestInit): Promise<any>;
  /** Whether a key is set; the key itself stays in its module. */
  hasKey(): boolean;
  /** Ask the user for a key. Returns whether one was given. */
  askKey(reason: string): Promise<boolean>;
  /** Say a sentence to screen readers. */
  announce(text: string): void;
  /** Create an element; children become text nodes, never markup. */
  element(tag: string, props?: Props, ...children: Child[]): HTMLElement;
}

/** A view: fills `root`, and returns what undoes its listeners, timers and requests. */
export type Mount = (root: HTMLElement, app: App) => () => void;
export type { Problem };
