export const title = "Map";
export const aboutDigit = true;
export const lead = () => "";
export const impossible = () => "";
export function show() {}
