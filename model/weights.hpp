// Parameters of a network to named tensors and back, with the description of the network inside.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/network.hpp"
#include "model/safetensors.hpp"

namespace raincell::model {

/// The parameters as safetensors; `metadata` (strings) and the text form of the spec ("model") go along.
std::vector<std::byte> save_weights(Network&, std::map<std::string, std::string> metadata);
/// The description that the weights carry. Throws WeightsError when there is none or it contradicts itself.
ModelSpec spec_of(const WeightsFile&);
/// Puts the tensors into the network. Names and shapes must be exactly the network's: WeightsError otherwise,
/// and the network is unchanged.
void load_weights(Network&, const WeightsFile&);

/// State dict of a ConvLSTM stack in the manner of ndrplz/ConvLSTM_pytorch: "cell_list.N.conv.weight"
/// [4h, in+h, k, k] and ".bias" [4h], gates i, f, o, g. The result describes the stack as an encoder with a
/// shared forecaster; its 1x1 head, which such files lack, is drawn from the seed when it is trained on.
/// Splits each weight into input and state part. Throws WeightsError naming the tensor that does not fit.
struct ImportedWeights {
  ModelSpec spec;
  std::vector<WeightTensor> tensors;  // our names; the head is missing
};
ImportedWeights import_convlstm_stack(const WeightsFile&);
/// State dict of a ConvLSTM model in the manner of OpenSTL, without layer normalisation, of single-channel
/// frames: "cell_list.N.conv_x.0.weight" and "conv_h.0.weight" with gates i, f, g, o, and "conv_last.weight",
/// the head. Its "conv_o" and the cells' "conv_last" are never computed with and are left out.
ImportedWeights import_openstl(const WeightsFile&);
/// Writes imported tensors into the network, whose other parameters stay. Names and shapes must fit.
void load_imported(Network&, const ImportedWeights&);

}  // namespace raincell::model
