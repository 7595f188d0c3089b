#version 330 core
// Positions, normals and colours as pyrender lays them out; everything after this is in the camera's space, where the lights are.

layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
layout(location = TANGENT_LOC) in vec4 tangent;  // not a tangent: x is the share of the sky that the vertex sees
layout(location = COLOR_0_LOC) in vec4 color_0;  // rgb: square root of linear reflectance; a: gloss, 0 skin … 1 wet eye

uniform mat4 V;
uniform mat4 P;

out vec3 at;
out vec3 facing;
out vec4 surface;
out float seen;

void main()
{
    vec4 place = V * vec4(position, 1.0);
    at = place.xyz;
    facing = mat3(V) * normal;
    surface = color_0;
    seen = tangent.x;
    gl_Position = P * place;
}
