/**
 * Names and shapes of every tensor in the published mimic-video, by the sizes of its networks: what stands in the files, also what
 * inference leaves aside.
 */

export type Shapes = Readonly<Record<string, readonly number[]>>;

export interface ReleaseSizes {
  readonly backbone: {
    readonly width: number;
    readonly headDim: number;
    readonly blocks: number;
    readonly textWidth: number;
    readonly feedForward: number;
    /** of the modulation */
    readonly rank: number;
  };
  readonly decoder: {
    readonly width: number;
    readonly headDim: number;
    readonly blocks: number;
    readonly feedForward: number;
    readonly rank: number;
    readonly pairRank: number;
    /** widths between an action and a token */
    readonly hidden: readonly [number, number];
    /** actions of a chunk */
    readonly chunk: number;
  };
  readonly vae: {
    readonly width: number;
    readonly multipliers: readonly number[];
    /** whether the level behind also halves time */
    readonly halvesTime: readonly boolean[];
  };
  /** blocks before the tap */
  readonly layer: number;
  /** (rows, columns) */
  readonly frameSize: readonly [number, number];
  readonly futureFrames: number;
  readonly episodes: number;
  /** tokens of a prompt */
  readonly textRows: number;
}

/** The published networks, on a clip that a software GPU can do. */
export const PUBLISHED: ReleaseSizes = {
  backbone: { width: 2048, headDim: 128, blocks: 28, textWidth: 1024, feedForward: 8192, rank: 256 },
  decoder: {
    ...{ width: 1024, headDim: 128, blocks: 24, feedForward: 4096, rank: 128 },
    ...{ pairRank: 1024, hidden: [47, 220], chunk: 15 },
  },
  vae: { width: 96, multipliers: [1, 2, 4, 4], halvesTime: [false, true, true] },
  layer: 20,
  frameSize: [64, 64],
  futureFrames: 4,
  episodes: 2,
  textRows: 20,
};

/** Latent channels. */
const Z = 16;
const DIMENSIONS = 10;

/** q, k, v and output projections and the two norms of an attention. */
function attention(at: string, width: number, headDim: number, context = width): Shapes {
  return {
    [`${at}.q_proj.weight`]: [width, width],
    [`${at}.q_norm.weight`]: [headDim],
    [`${at}.k_proj.weight`]: [width, context],
    [`${at}.k_norm.weight`]: [headDim],
    [`${at}.v_proj.weight`]: [width, context],
    [`${at}.output_proj.weight`]: [width, width],
  };
}

/** What follows both kinds of attention, and the three modulations. */
function restOfBlock(at: string, width: number, feedForward: number, rank: number): Shapes {
  const sites = ["self_attn", "cross_attn", "mlp"].map((site) => `${at}.adaln_modulation_${site}`);
  return {
    [`${at}.mlp.layer1.weight`]: [feedForward, width],
    [`${at}.mlp.layer2.weight`]: [width, feedForward],
    ...Object.fromEntries(
      sites.flatMap((site) => [
        [`${site}.1.weight`, [rank, width]],
        [`${site}.2.weight`, [3 * width, rank]],
      ]),
    ),
  };
}

const finalLayer = (width: number, out: number, rank: number): Shapes => ({
  "net.final_layer.linear.weight": [out, width],
  "net.final_layer.adaln_modulation.1.weight": [rank, width],
  "net.final_layer.adaln_modulation.2.weight": [2 * width, rank],
});

/** `video_backbone/v2w_….pt`, without what is not bfloat16. */
export function backboneShapes({ backbone }: ReleaseSizes): Shapes {
  const { width, headDim, blocks, textWidth, feedForward, rank } = backbone;
  const perSide = Math.floor(headDim / 6);
  const shapes: Record<string, readonly number[]> = {
    "net.x_embedder.proj.1.weight": [width, (Z + 2) * 4],
    "net.pos_embedder.seq": [128],
    "net.pos_embedder.dim_spatial_range": [perSide],
    "net.pos_embedder.dim_temporal_range": [headDim / 2 - 2 * perSide],
    "net.t_embedder.1.linear_1.weight": [width, width],
    "net.t_embedder.1.linear_2.weight": [3 * width, width],
    "net.t_embedding_norm.weight": [width],
  };
  for (let i = 0; i < blocks; i++) {
    const at = `net.blocks.${i}`;
    Object.assign(shapes, attention(`${at}.self_attn`, width, headDim));
    Object.assign(shapes, attention(`${at}.cross_attn`, width, headDim, textWidth));
    Object.assign(shapes, restOfBlock(at, width, feedForward, rank));
  }
  return { ...shapes, ...finalLayer(width, Z * 4, rank) };
}

/** `action_decoder/w2a_….pt` */
export function decoderShapes({ decoder, backbone }: ReleaseSizes): Shapes {
  const { width, headDim, blocks, feedForward, rank, pairRank, hidden, chunk } = decoder;
  const shapes: Record<string, readonly number[]> = {
    "net.obs_mask_token": [1, 1, width],
    "net.pos_embedding": [1, 1 + chunk, width],
    "net.ctx_norm.weight": [backbone.width],
    "net.ctx_norm.bias": [backbone.width],
    "net.t_embedding_norm.weight": [width],
    "net.t_embedder.pair.A.weight": [3 * width, pairRank],
  };
  for (const embedder of ["obs", "action"]) {
    [DIMENSIONS, ...hidden].forEach((from, i) => {
      const to = [...hidden, width][i];
      shapes[`net.${embedder}_embedder.layers.${2 * i}.weight`] = [to, from];
      shapes[`net.${embedder}_embedder.layers.${2 * i}.bias`] = [to];
    });
  }
  for (const [name, shape] of [
    ["proj_x", [width, width]],
    ["proj_c", [width, width]],
    ["B", [pairRank, width]],
    ["C", [pairRank, width]],
  ] as const) {
    shapes[`net.t_embedder.pair.${name}.weight`] = shape;
    shapes[`net.t_embedder.pair.${name}.bias`] = [shape[0]];
  }
  for (let i = 0; i < blocks; i++) {
    const at = `net.blocks.${i}`;
    Object.assign(shapes, attention(`${at}.cross_attn`, width, headDim, backbone.width));
    Object.assign(shapes, attention(`${at}.self_attn`, width, headDim));
    Object.assign(shapes, restOfBlock(at, width, feedForward, rank));
  }
  return { ...shapes, ...finalLayer(width, DIMENSIONS, rank) };
}

function convolution(at: string, out: number, inner: number, ...taps: number[]): Shapes {
  return { [`${at}.weight`]: [out, inner, ...taps], [`${at}.bias`]: [out] };
}

function resBlock(at: string, inner: number, out: number): Shapes {
  return {
    [`${at}.residual.0.gamma`]: [inner, 1, 1, 1],
    ...convolution(`${at}.residual.2`, out, inner, 3, 3, 3),
    [`${at}.residual.3.gamma`]: [out, 1, 1, 1],
    ...convolution(`${at}.residual.6`, out, out, 3, 3, 3),
    ...(inner === out ? {} : convolution(`${at}.shortcut`, out, inner, 1, 1, 1)),
  };
}

const middle = (at: string, width: number): Shapes => ({
  ...resBlock(`${at}.middle.0`, width, width),
  [`${at}.middle.1.norm.gamma`]: [width, 1, 1],
  ...convolution(`${at}.middle.1.to_qkv`, 3 * width, width, 1, 1),
  ...convolution(`${at}.middle.1.proj`, width, width, 1, 1),
  ...resBlock(`${at}.middle.2`, width, width),
});

/** `video_backbone/tokenizer/tokenizer.pth`: encoder and decoder, two blocks a level on the way down and three on the way up. */
export function vaeShapes({ vae }: ReleaseSizes): Shapes {
  const { multipliers, halvesTime } = vae;
  const widths = multipliers.map((m) => m * vae.width);
  const deepest = widths.at(-1)!;
  const encoder: Shapes[] = [convolution("encoder.conv1", vae.width, 3, 3, 3, 3)];
  let n = 0;
  const level = (width: number, inner: number): void => {
    encoder.push(resBlock(`encoder.downsamples.${n++}`, inner, width));
    encoder.push(resBlock(`encoder.downsamples.${n++}`, width, width));
  };
  widths.forEach((width, i) => {
    level(width, i === 0 ? vae.width : widths[i - 1]);
    if (i === widths.length - 1) return;
    encoder.push(convolution(`encoder.downsamples.${n}.resample.1`, width, width, 3, 3));
    if (halvesTime[i]) encoder.push(convolution(`encoder.downsamples.${n}.time_conv`, width, width, 3, 1, 1));
    n++;
  });
  encoder.push(middle("encoder", deepest), { "encoder.head.0.gamma": [deepest, 1, 1, 1] });
  encoder.push(convolution("encoder.head.2", 2 * Z, deepest, 3, 3, 3));

  const decoder: Shapes[] = [convolution("decoder.conv1", deepest, Z, 3, 3, 3), middle("decoder", deepest)];
  n = 0;
  const upwards = [...widths].reverse();
  upwards.forEach((width, i) => {
    // An upsampling halves the channels on its way.
    const inner = i === 0 ? width : upwards[i - 1] / 2;
    for (let b = 0; b < 3; b++)
      decoder.push(resBlock(`decoder.upsamples.${n++}`, b === 0 ? inner : width, width));
    if (i === upwards.length - 1) return;
    decoder.push(convolution(`decoder.upsamples.${n}.resample.1`, width / 2, width, 3, 3));
    if (halvesTime[halvesTime.length - 1 - i])
      decoder.push(convolution(`decoder.upsamples.${n}.time_conv`, 2 * width, width, 3, 1, 1));
    n++;
  });
  decoder.push(
    { "decoder.head.0.gamma": [vae.width, 1, 1, 1] },
    convolution("decoder.head.2", 3, vae.width, 3, 3, 3),
  );
  const ends = [convolution("conv1", 2 * Z, 2 * Z, 1, 1, 1), convolution("conv2", Z, Z, 1, 1, 1)];
  return Object.assign({}, ...encoder, ...ends, ...decoder) as Shapes;
}
