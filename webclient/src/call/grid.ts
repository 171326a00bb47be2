/** A grid of equal tiles. Sizes are CSS pixels. */
export interface Grid {
  columns: number;
  rows: number;
  width: number;
  height: number;
}

const widest = 16 / 9;
const narrowest = 3 / 4; // portrait phones; narrower, and faces are cut

/**
 * The grid that shows `count` faces largest in a space of width x height, with `gap` between the
 * tiles. Tiles take any shape from 3:4 to 16:9, so that the window is filled.
 */
export function bestGrid(count: number, width: number, height: number, gap: number): Grid {
  const shape = width > height ? 4 / 3 : 1; // upright windows are phones, and show upright pictures
  let best: Grid = { columns: 1, rows: Math.max(1, count), width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const grid = { columns, rows, ...fit(columns, rows, width, height, gap) };
    if (faceSize(grid, shape) > faceSize(best, shape)) best = grid;
  }
  return best;
}

/** How large a face can be: the width of a picture of this shape inside the tile. */
function faceSize({ width, height }: Grid, shape: number): number {
  return Math.min(width, height * shape);
}

function fit(columns: number, rows: number, width: number, height: number, gap: number) {
  const cellWidth = Math.max(0, (width - gap * (columns - 1)) / columns);
  const cellHeight = Math.max(0, (height - gap * (rows - 1)) / rows);
  return {
    width: Math.floor(Math.min(cellWidth, cellHeight * widest)),
    height: Math.floor(Math.min(cellHeight, cellWidth / narrowest)),
  };
}

const smallest = { width: 132, height: 99 }; // px; less is no face any more

/** How many of `count` tiles are shown: all, or as many as stay large enough. */
export function capacity(count: number, width: number, height: number, gap: number): number {
  for (let shown = count; shown > 1; shown--) {
    const tile = bestGrid(shown, width, height, gap);
    if (tile.width >= smallest.width && tile.height >= smallest.height) return shown;
  }
  return Math.min(count, 1);
}
