#version 330 core
// A triangle that covers the image.

out vec2 place;  // -1…1, upwards
out vec2 uv;  // on the finer image, rows downwards

void main()
{
    place = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    uv = place * 0.5 + 0.5;
    gl_Position = vec4(place.x, -place.y, 0.0, 1.0);
}
