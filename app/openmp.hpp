#pragma once

namespace raincell::app {

/// Makes idle OpenMP threads sleep soon instead of spinning. libgomp reads the setting when it is loaded, so
/// the program starts itself once more with it; a setting of the user's own is left alone. Spinning threads
/// take the processor from the very thread they wait for wherever other programs run: a training step of
/// configs/knmi.yaml on two busy cores took 2.9 s with libgomp's default and 1.1 s so.
void settle_openmp(char** argv);

}  // namespace raincell::app
