#version 330 core
// A portrait's light: a large warm key from the upper left, a cool fill from the right, two rims from behind, and a sky.
// The key wraps round the cheek further in red than in blue, as light that has been inside skin does. Everything is
// written for a software rasteriser: no loops, no textures, two square roots and two powers a pixel.

in vec3 at;
in vec3 facing;
in vec4 surface;
in float seen;
out vec4 frag_color;

const vec3 KEY = vec3(1.25, 1.14, 1.02);
const vec3 FILL_AT = vec3(0.853, 0.085, 0.515);
const vec3 FILL = vec3(0.21, 0.24, 0.29);
const vec3 RIM_LEFT_AT = vec3(-0.776, 0.352, -0.523);
const vec3 RIM_RIGHT_AT = vec3(0.786, 0.336, -0.519);
const vec3 RIM = vec3(0.70, 0.76, 0.84);
const vec3 SKY = vec3(0.30, 0.32, 0.35);
const vec3 GROUND = vec3(0.155, 0.120, 0.105);
const vec3 WRAP = vec3(0.42, 0.26, 0.19);

void main()
{
    vec3 n = normalize(gl_FrontFacing ? facing : -facing);
    vec3 eye = normalize(-at);
    vec3 albedo = surface.rgb * surface.rgb;
    float gloss = surface.a;

    float key = dot(n, KEY_AT);
    vec3 wrapped = max((key + WRAP) / (1.0 + WRAP), 0.0);
    vec3 light = KEY * wrapped * wrapped * (0.62 + 0.38 * wrapped);
    float wet = gloss * gloss;
    float sky = mix(seen, 1.0, 0.5 * wet);  // eyes and teeth are clear, and brighter than what they sit in
    light *= 0.35 + 0.65 * min(sky * 1.35, 1.0);
    // What is hidden from the sky is lit by skin: darker, and redder.
    vec3 hidden = mix(vec3(sky), vec3(1.0), vec3(0.14, 0.03, 0.02)) * sky;
    light += FILL * max(dot(n, FILL_AT) * 0.75 + 0.25, 0.0) * hidden;
    light += mix(GROUND, SKY, n.y * 0.5 + 0.5) * hidden;

    float away = 1.0 - max(dot(n, eye), 0.0);
    float edge = away * away * away;
    float rims = max(dot(n, RIM_LEFT_AT), 0.0) + max(dot(n, RIM_RIGHT_AT), 0.0);

    vec3 half_key = normalize(KEY_AT + eye);
    float sharp = mix(16.0, 420.0, wet);
    float glint = pow(max(dot(n, half_key), 0.0), sharp) * step(0.0, key);
    float fresnel = 0.04 + 0.5 * edge * away * away;
    vec3 sheen = KEY * glint * mix(0.055, 1.0, gloss) + RIM * rims * (0.10 + 0.9 * edge) * mix(0.55, 0.9, gloss);
    sheen += SKY * fresnel * max(n.y, 0.0) * mix(0.3, 1.0, gloss);
    sheen *= sky * sky;

    vec3 color = albedo * light + sheen * (0.35 + 0.65 * dot(albedo, vec3(0.6)));
    color = gl_FrontFacing ? color : color * 0.45;
    // The shoulder keeps highlights from clipping; the square root is the screen's gamma, as in the colours' encoding.
    color = color * (1.0 + 0.16 * color) / (1.0 + 0.40 * color);
    frag_color = vec4(sqrt(min(color * 1.10, 1.0)), 1.0);
}
