// A grey wall with a soft light on it behind the head; a grain of less than one step keeps the gradient from banding.

const vec3 EDGE = vec3(0.115, 0.120, 0.132);
const vec3 MIDDLE = vec3(0.400, 0.408, 0.420);

vec3 studio(vec2 place)  // -1…1 across the image and up
{
    vec2 away = place - vec2(0.06, 0.02);
    float light = 1.0 / (1.0 + 1.1 * dot(away, away));
    float grain = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715)))) - 0.5;
    return mix(EDGE, MIDDLE, light * light) + grain / 255.0;
}
