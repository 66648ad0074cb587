#include "model/advection/advection.hpp"
