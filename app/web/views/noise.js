export const title = "Noise";
export const aboutDigit = true;
export const lead = () => "";
export const impossible = () => "";
export function show() {}
