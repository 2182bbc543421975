/** A region's means as files: CSV that no spreadsheet runs, and GeoJSON that QuPath opens. */

/**
 * @typedef {{gene: string, mean: number|null, grade: string}} Row
 * @typedef {{slide: string, map: string, units: string, area_um2: number, covered: number|null,
 *   polygon: [number, number][], rows: Row[]}} Means level-0 px; `covered` 0 to 1
 */

/** @param {string} text @returns {string} a cell that is read as text */
export function cell(text) {
  const tame = /^\s*[=+\-@]|^[\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}

/** @param {Means} means @returns {string} */
export function csv(means) {
  const head = ["gene", "mean", "units", "grade", "map", "slide"].join(",");
  const rows = means.rows.map(({ gene, mean, grade }) =>
    [cell(gene), mean ?? "", cell(means.units), cell(grade), cell(means.map), cell(means.slide)].join(","),
  );
  return `${[head, ...rows].join("\r\n")}\r\n`;
}

/** @param {Means} means @returns {string} one Feature; QuPath reads its measurements */
export function geojson(means) {
  const ring = [...means.polygon, means.polygon[0]];
  const known = means.rows.filter(({ mean }) => mean !== null);
  return JSON.stringify(
    {
      type: "Feature",
      geometry: { type: "Polygon", coordinates: [ring] },
      properties: {
        objectType: "annotation",
        name: "MISO region",
        slide: means.slide,
        map: means.map,
        units: means.units,
        area_um2: means.area_um2,
        covered: means.covered,
        measurements: Object.fromEntries(known.map(({ gene, mean }) => [gene, mean])),
      },
    },
    null,
    1,
  );
}
