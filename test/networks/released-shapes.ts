/** Names and shapes of the release's checkpoints, and of others of their kind. */

/** All tensors of a checkpoint as the release's table has them. */
export function cosmosShapes(
  D: number,
  headDim: number,
  layers: number,
  text: number,
  rank: number,
  hidden: number,
) {
  const shapes: Record<string, number[]> = {
    "x_embedder.proj.1.weight": [D, 72],
    "t_embedder.1.linear_1.weight": [D, D],
    "t_embedder.1.linear_2.weight": [3 * D, D],
    "t_embedding_norm.weight": [D],
    "final_layer.linear.weight": [64, D],
    "final_layer.adaln_modulation.1.weight": [rank, D],
    "final_layer.adaln_modulation.2.weight": [2 * D, rank],
    "pos_embedder.seq": [128],
    "pos_embedder.dim_spatial_range": [21],
    "pos_embedder.dim_temporal_range": [22],
    accum_video_sample_counter: [],
    accum_image_sample_counter: [],
    accum_iteration: [],
    accum_train_in_hours: [],
  };
  for (let i = 0; i < layers; i++) {
    const at = `blocks.${i}.`;
    for (const attn of ["self_attn", "cross_attn"]) {
      const context = attn === "self_attn" ? D : text;
      for (const q of ["q", "output"]) shapes[`${at}${attn}.${q}_proj.weight`] = [D, D];
      for (const k of ["k", "v"]) shapes[`${at}${attn}.${k}_proj.weight`] = [D, context];
      for (const n of ["q", "k"]) shapes[`${at}${attn}.${n}_norm.weight`] = [headDim];
    }
    for (const site of ["self_attn", "cross_attn", "mlp"]) {
      shapes[`${at}adaln_modulation_${site}.1.weight`] = [rank, D];
      shapes[`${at}adaln_modulation_${site}.2.weight`] = [3 * D, rank];
    }
    shapes[`${at}mlp.layer1.weight`] = [hidden, D];
    shapes[`${at}mlp.layer2.weight`] = [D, hidden];
    shapes[`${at}cross_attn.attn_op._extra_state`] = [0];
  }
  return Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [`net.${key}`, shape]));
}

const RELEASED = { D: 1024, headDim: 128, layers: 24, V: 2048, rank: 128 };

/** Of the World2Action decoder, for an observation and tokens − 1 actions. */
export function world2ActionShapes(tokens: number, { D, headDim, layers, V, rank } = RELEASED) {
  const shapes: Record<string, number[]> = {
    obs_mask_token: [1, 1, D],
    pos_embedding: [1, tokens, D],
    "ctx_norm.weight": [V],
    "ctx_norm.bias": [V],
    "t_embedder.pair.A.weight": [3 * D, D],
    "t_embedding_norm.weight": [D],
    "final_layer.linear.weight": [10, D],
    "final_layer.adaln_modulation.1.weight": [rank, D],
    "final_layer.adaln_modulation.2.weight": [2 * D, rank],
  };
  const affine = (at: string, out: number, inner: number) => {
    shapes[`${at}.weight`] = [out, inner];
    shapes[`${at}.bias`] = [out];
  };
  for (const of of ["obs", "action"])
    [10, 47, 220, D].slice(1).forEach((out, i) => {
      affine(`${of}_embedder.layers.${2 * i}`, out, [10, 47, 220][i]);
    });
  for (const part of ["proj_x", "proj_c", "B", "C"]) affine(`t_embedder.pair.${part}`, D, D);
  for (let i = 0; i < layers; i++) {
    const at = `blocks.${i}.`;
    for (const [attn, context] of [
      ["cross_attn", V],
      ["self_attn", D],
    ] as const) {
      for (const q of ["q", "output"]) shapes[`${at}${attn}.${q}_proj.weight`] = [D, D];
      for (const k of ["k", "v"]) shapes[`${at}${attn}.${k}_proj.weight`] = [D, context];
      for (const n of ["q", "k"]) shapes[`${at}${attn}.${n}_norm.weight`] = [headDim];
    }
    for (const site of ["self_attn", "cross_attn", "mlp"]) {
      shapes[`${at}adaln_modulation_${site}.1.weight`] = [rank, D];
      shapes[`${at}adaln_modulation_${site}.2.weight`] = [3 * D, rank];
    }
    shapes[`${at}mlp.layer1.weight`] = [4 * D, D];
    shapes[`${at}mlp.layer2.weight`] = [D, 4 * D];
  }
  return Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [`net.${key}`, shape]));
}
